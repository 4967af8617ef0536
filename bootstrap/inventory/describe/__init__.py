"""The keys, described: for `explain`, the reference and editors (JSON Schema)."""

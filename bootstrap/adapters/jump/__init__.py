"""The way to machines and to the Kubernetes API: direct, or over jump hosts."""

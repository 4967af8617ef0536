"""How single values are read, and how a JSON Schema says the same."""

"""The datastore of a server: SQLite alone, or members that replicate."""

"""Server-side apply, and who manages which field."""

"""Objects of any kind, by server-side apply."""

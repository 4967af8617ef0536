"""What a user can ask for; each command reads like a table of contents."""

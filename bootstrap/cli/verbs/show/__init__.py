"""What only reads and prints."""

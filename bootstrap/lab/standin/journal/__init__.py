"""Log lines and durations of normal starts."""

"""Faults that a lab can be told to have, by name and while it runs."""

"""Checks that concern several values: whether they fit together."""

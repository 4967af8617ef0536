"""The lines of good starts, and how long these take."""

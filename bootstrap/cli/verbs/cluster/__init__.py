"""The cluster as a whole: create, change, back up, remove."""

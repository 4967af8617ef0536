"""The commands that ask a server something."""

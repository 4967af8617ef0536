"""This computer: files, state, processes, time."""

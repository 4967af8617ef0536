"""Reads: selectors, watches, tables."""

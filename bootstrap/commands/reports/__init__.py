"""Queries: what a cluster is and how it does. They only read."""

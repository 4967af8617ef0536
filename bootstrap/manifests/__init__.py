"""Kubernetes objects that the user has applied: parsed, ordered, compared, and the set that they form. Pure."""

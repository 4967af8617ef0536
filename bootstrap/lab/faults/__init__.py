"""Faults of a running lab, injected by name."""

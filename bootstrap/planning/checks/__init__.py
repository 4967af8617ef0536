"""Verdicts: doctor, preflight, drift, problems."""

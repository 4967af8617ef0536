"""Templates: which fit, which are built, which are removed."""

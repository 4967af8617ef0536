"""Values: what is wanted, and what was seen. Frozen, and free of any I/O."""

"""Applies objects to the cluster, in waves, and prunes those that are no longer wanted."""

"""What is done about the inventory's manifests. Pure."""

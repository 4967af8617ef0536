"""Settings in k3s's own keys: which there are, and how the inventory's are merged into a machine's."""

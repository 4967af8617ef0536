"""Before there is a cluster: the inventory, templates, the lab."""

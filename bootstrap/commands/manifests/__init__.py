"""`manifests`: objects of the inventory's list, compared with the cluster and applied."""

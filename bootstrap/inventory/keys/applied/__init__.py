"""What is applied to Kubernetes: the inventory's `manifests` and `gitops`."""

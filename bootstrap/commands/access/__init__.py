"""The ways into a cluster: ssh to its machines, and its kubeconfig."""

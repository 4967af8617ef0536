"""The administrator's kubeconfig: what it holds, and which entries are ours. Pure."""

"""The user's kubeconfig files."""

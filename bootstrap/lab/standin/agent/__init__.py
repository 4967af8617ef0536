"""`k3s agent`."""

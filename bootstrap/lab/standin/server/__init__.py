"""`k3s server`."""

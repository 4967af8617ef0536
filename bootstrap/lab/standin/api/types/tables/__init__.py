"""Tables of Kubernetes' types."""

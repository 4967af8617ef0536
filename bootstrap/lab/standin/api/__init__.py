"""The Kubernetes API: resources, reads, writes and watches."""

"""What Kubernetes refuses of objects: names, required fields, values, changes."""

"""k3s on a machine, and its Kubernetes node: installed, joined, changed, upgraded, removed."""

"""What lies in k3s's `server/manifests` before the first server of a cluster starts for the first time."""

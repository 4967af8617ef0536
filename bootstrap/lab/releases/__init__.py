"""Which k3s the lab's clusters run, and where it comes from."""

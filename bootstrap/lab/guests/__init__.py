"""What stands behind the lab's VMs: real Linux guests of several kinds."""

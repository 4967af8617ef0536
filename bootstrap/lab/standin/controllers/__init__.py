"""Controllers, the scheduler, and what kubelets do with pods."""

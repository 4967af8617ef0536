"""VMs and containers, and what is in them before k3s: made, reached, adopted, removed; templates, too."""

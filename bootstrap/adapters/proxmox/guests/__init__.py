"""What changes VMs and containers: clones, power, templates, markers."""

"""What fits where: sizes, Proxmox nodes, addresses."""

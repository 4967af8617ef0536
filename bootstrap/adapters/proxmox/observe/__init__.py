"""What is read of a Proxmox cluster: nodes, guests, rights, names. Reads only."""

"""What Proxmox VE answers, read into values. Pure."""

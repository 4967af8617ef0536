"""What a token must be allowed on Proxmox VE, and the commands that allow it. Pure."""

"""Turn Proxmox VE hosts into a k3s cluster."""

"""Proxmox in a box: a Proxmox VE API on loopback whose VMs are real Linux guests."""

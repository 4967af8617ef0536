"""Proxmox VE's API over HTTPS: requests, tasks, which Proxmox nodes answer."""

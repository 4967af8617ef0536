"""Proxmox nodes, storage lists, SDN, tags and Proxmox HA."""

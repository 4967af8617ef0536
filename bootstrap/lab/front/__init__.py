"""The lab's Proxmox VE API: fakepve, with a gateway before it for what must be live or truer."""

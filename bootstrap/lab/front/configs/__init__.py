"""VM configs of Proxmox: options, types, and the cloud-init seed. Pure."""

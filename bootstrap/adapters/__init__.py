"""The ports made real: Proxmox VE, SSH, Kubernetes, files, the clock."""

"""The lab's Proxmox VE API: fakepve behind a gateway that adds live values and corrects differences."""

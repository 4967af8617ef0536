"""What Proxmox VE is: settings of VMs and containers, and what a clone inherits. Pure text and tables."""

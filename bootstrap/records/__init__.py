"""What outlives a run: records in VMs, notes on servers and here, each written and read in one place. Pure."""

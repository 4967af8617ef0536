"""Which machines the cluster has, wants, and cannot see; and which VMs are not its own."""

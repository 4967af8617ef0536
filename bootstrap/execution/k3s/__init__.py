"""k3s on a machine: its service, its start, its node, its data's files."""

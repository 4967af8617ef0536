"""The kubelet: its Node, its lease, and what keeps it from starting."""

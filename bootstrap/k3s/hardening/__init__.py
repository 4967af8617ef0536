"""k3s's CIS hardening guide: its settings, its files, and how the user's own go with them."""

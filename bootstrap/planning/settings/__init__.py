"""k3s's settings on machines that run: what differs, and how it is rolled out."""

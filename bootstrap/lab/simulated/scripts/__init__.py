"""Effects of the guest scripts."""

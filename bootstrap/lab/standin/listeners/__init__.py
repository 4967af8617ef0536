"""The ports of a server: 6443 and 2380."""

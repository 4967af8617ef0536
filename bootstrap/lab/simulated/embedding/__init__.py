"""The k3s stand-in inside the lab's process."""

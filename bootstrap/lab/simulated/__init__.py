"""Simulated guests: an SSH server, a guest agent, the effects of known scripts, and the k3s stand-in."""

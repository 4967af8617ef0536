"""Connections to guests: the guest agent, its simulation, and QEMU's monitor."""

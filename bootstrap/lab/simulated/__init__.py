"""Guests that only act: an SSH server and a guest agent each, known scripts' effects, k3s's stand-in inside."""

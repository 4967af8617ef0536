"""Why k3s does not start, from its own log lines. Pure."""

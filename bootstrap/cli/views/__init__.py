"""How a run shows on stderr: live on a terminal, as lines, as JSON, or only where it fails."""

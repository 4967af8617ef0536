"""How a run is shown on stderr: live on a terminal, as lines, as JSON, or only if it fails."""

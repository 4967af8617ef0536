"""Container guests: their files, their OCI configuration, and their start."""

"""Guest backends: real Linux guests in containers and virtual machines."""

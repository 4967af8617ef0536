"""What is set on machines and in k3s: packages, files, registries, variables, hardening, the network plugin."""

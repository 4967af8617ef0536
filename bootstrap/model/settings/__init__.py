"""What is set on machines, in k3s and in Kubernetes: packages, files, registries, hardening, the CNI plugin, GitOps."""

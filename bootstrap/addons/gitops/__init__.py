"""Hands a cluster over to Flux or Argo CD: their objects, deploy keys, and host keys of Git hosts."""

"""Manifests that k3s finds at a cluster's first start."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class EarlyManifest:
    """Kubernetes objects without which a cluster's nodes do not get Ready, so that they are there before the nodes are.

    Attributes:
        name: Lower-case letters, digits and dashes; the file is called `homelab-k8s-NAME.yaml`.
        text: Its YAML; may hold secrets.
    """

    name: str
    text: str = field(repr=False)

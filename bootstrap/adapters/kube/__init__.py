"""Kubernetes over its API, with the `kubernetes` client's transport.

Answers are read as JSON: the client's generated models cost half a second to import and refuse objects of other
versions than their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.adapters.kube.api import KubernetesApis

__all__ = ["KubernetesApis"]


def __getattr__(name: str) -> object:
    """Import the client when it is first used (PEP 562): shell completion asks without it."""
    if name != "KubernetesApis":
        raise AttributeError(f"module 'bootstrap.adapters.kube' has no attribute {name!r}")
    from bootstrap.adapters.kube.api import KubernetesApis

    return KubernetesApis

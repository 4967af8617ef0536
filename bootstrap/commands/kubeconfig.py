"""The kubeconfig of a cluster that stands: merged again where its entries went missing."""

from __future__ import annotations

from pathlib import Path

from bootstrap.execution.cluster_steps import merge_entries
from bootstrap.model.ids import ClusterName
from bootstrap.ports import Ports


def merge_kubeconfig(cluster: ClusterName, ports: Ports, *, path: Path | None) -> Path | None:
    """Have our entries in a kubeconfig file (None: the user's); the file, or None while there is no cluster."""
    text = ports.state.read(cluster, "kubeconfig")
    return merge_entries(text, cluster, ports, path=path) if text is not None else None

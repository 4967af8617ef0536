"""The kubeconfig of a cluster that stands: merged again where its entries went missing."""

from __future__ import annotations

from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.errors import HomelabError
from bootstrap.execution.context import KubeconfigTarget
from bootstrap.execution.handlers.cluster.kubeconfig import merge_entries
from bootstrap.k3s.kubeconfig.build import check_own
from bootstrap.model.ids import ClusterName
from bootstrap.ports import MergedKubeconfig, Ports
from bootstrap.records.state.state_items import API_NAME, KUBECONFIG


def own_kubeconfig(cluster: ClusterName, ports: Ports) -> str | None:
    """The kubeconfig that the state directory holds, or None. Raises KubernetesError for one that is none of ours."""
    text = ports.state.read(cluster, KUBECONFIG)
    return check_own(text, api_name=ports.state.read(cluster, API_NAME)) if text is not None else None


def needed_kubeconfig(cluster: ClusterName, ports: Ports) -> str:
    """The kubeconfig that the state directory holds. Raises HomelabError where there is none, or none of ours."""
    text = own_kubeconfig(cluster, ports)
    if text is None:
        raise HomelabError(
            f"there is no kubeconfig of the cluster {cluster} on this machine",
            resolution=Advice("`homelab-k8s up` creates the cluster, or fetches the kubeconfig of an existing one"),
        )
    return text


def merge_kubeconfig(
    cluster: ClusterName, ports: Ports, *, path: Path | None, switch: bool = False
) -> MergedKubeconfig | None:
    """Have our entries in a kubeconfig file (None: the user's); where, or None while there is no cluster.

    Args:
        cluster: The cluster.
        ports: The user's files.
        path: The file, or None for kubectl's.
        switch: Make our context the current one.
    """
    text = own_kubeconfig(cluster, ports)
    if text is None:
        return None
    return merge_entries(text, cluster, ports, target=KubeconfigTarget(path=path, switch=switch))

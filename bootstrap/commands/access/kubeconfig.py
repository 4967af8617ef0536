"""The kubeconfig of a cluster that exists: shown, and merged again where its entries went missing."""

from __future__ import annotations

from bootstrap.advice import Advice
from bootstrap.errors import HomelabError
from bootstrap.execution.context import KubeconfigTarget
from bootstrap.execution.handlers.cluster.kubeconfig import merge_entries
from bootstrap.k3s.kubeconfig.build import check_own
from bootstrap.model.ids import ClusterName
from bootstrap.ports import MergedKubeconfig, Ports
from bootstrap.records.state.state_items import API_NAME, KUBECONFIG


def own_kubeconfig(cluster: ClusterName, ports: Ports) -> str | None:
    """The kubeconfig that the state directory holds, or None. Raises KubernetesError for one of another cluster."""
    text = ports.state.read(cluster, KUBECONFIG)
    return check_own(text, api_name=ports.state.read(cluster, API_NAME)) if text is not None else None


def needed_kubeconfig(cluster: ClusterName, ports: Ports) -> str:
    """The kubeconfig that the state directory holds. Raises HomelabError without one, or for one of another cluster."""
    text = own_kubeconfig(cluster, ports)
    if text is None:
        raise HomelabError(
            f"there is no kubeconfig of the cluster {cluster} on this machine",
            resolution=Advice("`homelab-k8s up` creates the cluster, or fetches the kubeconfig of an existing one"),
        )
    return text


def merge_kubeconfig(cluster: ClusterName, ports: Ports, target: KubeconfigTarget) -> MergedKubeconfig | None:
    """Have our entries in a kubeconfig file; where, or None while there is no cluster."""
    text = own_kubeconfig(cluster, ports)
    return merge_entries(text, cluster, ports, target=target) if text is not None else None

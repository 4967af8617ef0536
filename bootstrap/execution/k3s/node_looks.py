"""Looks at one Kubernetes node, through the watch that a run's lanes share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bootstrap.errors import KubeUnreachableError
from bootstrap.execution.context import RunContext
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import KubeNode
from bootstrap.ports import KubeApi

LOOK_S = 2.0
"""How long one look lasts; between two the machine itself is looked at."""


def missing(
    name: MachineName, lacks: Callable[[KubeNode | None], str], context: RunContext, *, timeout_s: float = LOOK_S
) -> str:
    """What a node still lacks after `timeout_s` at most; empty as soon as it lacks nothing."""
    try:
        return lacks(context.kube.await_kube_node(name, accept=lambda seen: not lacks(seen), timeout_s=timeout_s))
    except KubeUnreachableError as error:
        return str(error)  # the server that the run goes through may be the one that restarts


def unreported(kube_node: KubeNode, since: datetime | None) -> str:
    """That its kubelet has not reported since its start; empty where it has, or where the start is not known."""
    # Whole seconds both: one second for two is the same start.
    if since is None or (kube_node.heartbeat is not None and kube_node.heartbeat >= since):
        return ""
    return "its kubelet has not reported since its start"


def listed(name: MachineName, kube: KubeApi) -> KubeNode | None:
    """A node as the API lists it now, or None."""
    return next((kube_node for kube_node in kube.kube_nodes() if kube_node.name == name), None)

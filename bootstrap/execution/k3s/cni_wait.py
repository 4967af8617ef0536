"""What the wait for Ready makes of a node without a CNI plugin."""

from __future__ import annotations

from bootstrap.execution.context import RunContext
from bootstrap.k3s.early.cni import lacks_cni, without_cni
from bootstrap.model.observed import KubeNode
from bootstrap.model.settings.cni import CniType

LEFT_OUT = "NotReady until you install a CNI plugin"
"""Instead of a wait where the plugin is the user's."""

_DOWNLOADS = 4.0
"""How many times longer a node may take where a chart and its images are downloaded first."""


def cni_lack(kube_node: KubeNode | None, context: RunContext) -> str:
    """That a node is not Ready for want of a CNI plugin, and what helps; empty where that is not the reason.

    flannel is k3s's own and runs a moment after the node has registered.
    """
    cni = context.spec.network.cni
    if cni.is_flannel or kube_node is None or kube_node.ready or not lacks_cni(kube_node.problem):
        return ""
    return LEFT_OUT if cni.type is CniType.NONE else without_cni(cni)


def ready_s(context: RunContext) -> float:
    """How long a node may take to be Ready, in seconds."""
    return context.timeouts.ready_s * (_DOWNLOADS if context.spec.network.cni.has_chart else 1.0)

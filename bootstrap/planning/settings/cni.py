"""The CNI plugin of a cluster that exists, and what users read of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bootstrap.k3s.early.cni import BACKEND, KUBE_PROXY, lacks_cni, without_cni
from bootstrap.k3s.settings import parse_args
from bootstrap.model.settings.cni import CniType
from bootstrap.planning.members.desired_machines import MachineState, Need

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


def cni_lines(view: ClusterView) -> list[str]:
    """Why the inventory's CNI plugin cannot be that of the servers that run; empty where it may be.

    Whether it is flannel shows in the drift of `flannel-backend`. Of the others, only one replaces kube-proxy.
    """
    cni = view.spec.network.cni
    if cni.is_flannel or not view.spec.states_settings:
        return []
    without = cni.replaces_kube_proxy or "kube-proxy" in view.spec.k3s.disable_components
    lines = set()
    for server in view.kube_servers:
        running = parse_args(server.args or ())
        if running.get(BACKEND) != ("none",):
            continue
        is_off = running.get(KUBE_PROXY) == ("true",)
        if is_off != without and (is_off or cni.has_chart):  # a plugin of the user's may come to replace it
            state = "with" if without else "without"
            lines.add(
                f"network.cni is {cni.type}, and the servers run {state} kube-proxy: the cluster was created for "
                "another CNI plugin, which pods keep"
            )
    return sorted(lines)


def awaited_cni(machine_state: MachineState) -> bool:
    """Whether a machine is not Ready for want of a CNI plugin alone."""
    node = machine_state.kube_node
    return machine_state.need is Need.READY and node is not None and not node.stale and lacks_cni(node.problem)


def cni_problems(view: ClusterView, wanted: Sequence[MachineState]) -> Iterator[str]:
    """That nodes wait for a CNI plugin, in one line."""
    names = [machine_state.name for machine_state in wanted if awaited_cni(machine_state)]
    if names:
        yield f"{', '.join(names)}: not Ready: {without_cni(view.spec.network.cni)}"


def cni_notes(view: ClusterView) -> tuple[str, ...]:
    """What `up` says beforehand where the CNI plugin is the user's."""
    waits = any(each.need not in (None, Need.LABELS) for each in view.states)
    if view.spec.network.cni.type is not CniType.NONE or not waits:
        return ()
    return ("network.cni is none: nodes stay NotReady until you install a CNI plugin; no step waits for it",)

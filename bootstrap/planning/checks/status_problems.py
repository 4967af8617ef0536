"""What is wrong with a cluster, a line each, and the command that fixes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bootstrap.advice import Advice
from bootstrap.model.machine import RecordState, Role
from bootstrap.model.observed import Observed, VmRecord
from bootstrap.planning.checks.api_name import other_server
from bootstrap.planning.checks.drift import notes_on_drift, unfinished_notes
from bootstrap.planning.manifests.plan import manifest_problems
from bootstrap.planning.members.address_claims import claim_lines
from bootstrap.planning.members.authorize import refusing_lines
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.members.foreign import all_foreign, foreign_problems
from bootstrap.planning.members.names_and_tags import mark_notes
from bootstrap.planning.members.twins import twin_lines
from bootstrap.planning.members.unreachable import unreachable_lines
from bootstrap.planning.provision.successors import pool_of
from bootstrap.planning.provision.vip_lanes import left_over, with_other_settings, without_vip
from bootstrap.planning.settings.cni import awaited_cni, cni_problems
from bootstrap.planning.settings.drift import drifts
from bootstrap.planning.settings.notes import notes_on_settings
from bootstrap.planning.settings.system import system_problems
from bootstrap.planning.view import ClusterView


def problems_of(view: ClusterView, wanted: Sequence[MachineState]) -> tuple[str, ...]:
    """All that is wrong with the cluster and the machines it is to have."""
    return (
        *([str(view.observed.lost_quorum)] if view.observed.lost_quorum is not None else []),
        *unreachable_lines(view),
        *twin_lines(view),
        *claim_lines(view),
        *_broken(view.observed, _without_settings(view, wanted)),
        *_missing(view, wanted),
        *_unasked(view),
        *refusing_lines(view),
        *_vip(view),
        *_kubeconfig(view),
        *_orphans(view),
        *mark_notes(wanted),
        *notes_on_settings(view, wanted),
        *cni_problems(view, wanted),
        *system_problems(view, wanted),
        *manifest_problems(view),
        *notes_on_drift(view, wanted),
        *foreign_problems(view),
        *unfinished_notes(view),
    )


def vm_state(vm: VmRecord | None) -> str:
    """How a machine stands as far as Proxmox VE knows: `running`, `paused`, `stopped`, `half-made` or `missing`."""
    if vm is None:
        return "missing"
    if vm.state is RecordState.CLONING:
        return "half-made"
    if vm.halted:
        return "paused"
    return "running" if vm.running else "stopped"


def standing_state(machine_state: MachineState) -> str:
    """As `vm_state`; `out of sight` where its VM is, or may be, on a Proxmox node that cannot be asked."""
    return "out of sight" if machine_state.vm is None and machine_state.held else vm_state(machine_state.vm)


def _without_settings(view: ClusterView, wanted: Sequence[MachineState]) -> list[MachineState]:
    """The machines without those whose settings differ, which is reported on its own and covers labels and taints."""
    differing = {drift.machine_state.name for drift in drifts(view, wanted) if drift.restarts}
    return [machine_state for machine_state in wanted if machine_state.name not in differing]


def _broken(observed: Observed, wanted: Sequence[MachineState]) -> Iterator[str]:
    asked = observed.kube_nodes is not None
    for machine_state in wanted:
        why = "" if awaited_cni(machine_state) else machine_state.reason
        if why and machine_state.vm and (asked or vm_state(machine_state.vm) != "running"):
            yield Advice("{}: {}: `homelab-k8s up`", machine_state.name, why)


def _missing(view: ClusterView, wanted: Sequence[MachineState]) -> Iterator[str]:
    missing = [machine_state.machine for machine_state in wanted if machine_state.missing]
    if all_foreign(view):
        return  # `adopt` comes first, as the notes on strangers say
    if missing and len(missing) == len(wanted):
        yield Advice("the cluster does not exist; `homelab-k8s up` builds it")
        return
    for machine in missing:
        if machine.role is Role.CONTROL_PLANE and view.on_sqlite:
            # `up` refuses: no server can join one with sqlite before its data is in etcd.
            yield Advice(
                "{}: VM missing: `homelab-k8s scale {} {}`", machine.name, machine.pool, view.spec.control_plane.count
            )
        else:
            yield Advice("{}: VM missing: `homelab-k8s up`", machine.name)


def _unasked(view: ClusterView) -> Iterator[str]:
    runs = any(vm_state(vm) == "running" for vm in view.vms)
    if view.observed.kube_nodes is None and runs:
        yield Advice(
            "the Kubernetes API could not be reached: {}; "
            "whether the machines are in the cluster is unknown: `homelab-k8s up`",
            view.observed.kube_problem,
        )


def _vip(view: ClusterView) -> Iterator[str]:
    """That no server has the VIP, where every running server could be asked; or that keepalived has other settings."""
    other, left = with_other_settings(view), left_over(view)
    if other:
        yield Advice(
            "keepalived of {} has another VIP or router id than the inventory: `homelab-k8s up`", ", ".join(other)
        )
    if left:
        yield Advice(
            "keepalived of {} serves a VIP that is no longer in the inventory: `homelab-k8s up` removes it",
            ", ".join(left),
        )
    if view.spec.vip and without_vip(view):
        yield Advice("no server has the API's VIP {}: `homelab-k8s up`", view.spec.vip.address)


def _kubeconfig(view: ClusterView) -> Iterator[str]:
    """That the kubeconfig names the API otherwise than the inventory does."""
    other = other_server(view)
    if other:
        yield Advice("{}: `homelab-k8s up`", other)


def _orphans(view: ClusterView) -> Iterator[str]:
    """Kubernetes nodes that removed machines have left; none that may be an unreachable one, or that will go by itself.

    A node that is Ready, or has another kind of name than our machines, is another machine that has joined.
    """
    called = re.compile(rf"{re.escape(view.spec.name)}-.+-[1-9][0-9]*")
    unreachable = view.unreachable
    known = {*view.vm_of, *unreachable.named} | {old.machine for old in view.replaced}
    for kube_node in view.observed.kube_nodes or ():
        if kube_node.ready or kube_node.deleting or not called.fullmatch(kube_node.name):
            continue
        if kube_node.name not in known and not (unreachable.unnamed and pool_of(view.spec, kube_node.name)):
            yield (
                f"Kubernetes node {kube_node.name} has no machine of this cluster; if it is not in use: "
                f"`kubectl delete node {kube_node.name}`"
            )

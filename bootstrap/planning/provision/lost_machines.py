"""How machines are removed that the user has declared lost: their node at once, their VM once it is seen again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineRecord, Replaced, Role
from bootstrap.model.observed import KubeNode, VmRecord
from bootstrap.planning.day2_steps import DeleteKubeNode, MarkLeaving
from bootstrap.planning.healthy_server import healthy_server, needed_server
from bootstrap.planning.members.pool_members import Member
from bootstrap.planning.plan import Gate, Lane, LaneStep, PlannedMachine
from bootstrap.planning.provision.decommission import check_quorum, out_of_kubernetes, planned_removal
from bootstrap.planning.provision.joining import API_REACHABLE
from bootstrap.planning.steps import DestroyVm, StopVm

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class LostMachines:
    """Lanes and machines of a plan for lost machines, which have successors.

    Attributes:
        servers: Open once dead servers are out of etcd: it accepts no new member before (docs/k3s.md#joining).
    """

    machines: tuple[PlannedMachine, ...]
    lanes: tuple[Lane, ...]
    servers: tuple[Gate, ...]


def plan_lost_machines(view: ClusterView) -> LostMachines:
    """Plan the removal of machines that have successors, or get them by this plan.

    Raises:
        PreflightError: A machine was declared lost, and no server can take it out of the cluster.
    """
    declared_lost = {old.machine for old in view.observed.declared_lost}
    back = _returned(view)
    there = {record.machine for _, record in back}
    dead = _dead(view, declared_lost=declared_lost, back=there)
    if declared_lost:
        needed_server(view, besides=declared_lost)
        check_quorum(view, going=[kube_node.name for kube_node in dead])
    serves = healthy_server(view, besides=[*declared_lost, *there]) is not None
    removed = dead if serves else ()
    return LostMachines(
        machines=tuple(filter(None, (_shown(view, vm, record) for vm, record in back))),
        lanes=(*map(_dead_lane, removed), *(_returned_lane(record, serves=serves) for _, record in back)),
        servers=tuple(out_of_kubernetes(kube_node.name) for kube_node in removed if _is_server(kube_node)),
    )


def _shown(view: ClusterView, vm: VmRecord, record: MachineRecord) -> PlannedMachine | None:
    member = Member(name=record.machine, vm=vm, kube_node=view.kube_nodes.get(record.machine))
    return planned_removal(member, "has a successor, and its Proxmox node is back")


def _returned(view: ClusterView) -> tuple[tuple[VmRecord, MachineRecord], ...]:
    """Machines that have successors and are seen again."""
    return tuple(
        (vm, record) for vm, record in view.machines if Replaced(machine=record.machine, vmid=vm.vmid) in view.replaced
    )


def _dead(
    view: ClusterView, *, declared_lost: Collection[MachineName], back: Collection[MachineName]
) -> tuple[KubeNode, ...]:
    """Nodes of machines that do not come back: declared lost now, or replaced earlier and not Ready."""
    replaced = view.replaced_names.difference(back)
    return tuple(
        kube_node
        for name, kube_node in sorted(view.kube_nodes.items())
        if name in declared_lost or (name in replaced and not kube_node.ready)
    )


def _is_server(kube_node: KubeNode) -> bool:
    return "control-plane" in kube_node.roles


def _dead_lane(kube_node: KubeNode) -> Lane:
    name = kube_node.name
    step = DeleteKubeNode(machine=name, server=_is_server(kube_node))
    return Lane.of(name, LaneStep(step=step, needs=(API_REACHABLE,), opens=(out_of_kubernetes(name),)))


def _returned_lane(record: MachineRecord, *, serves: bool) -> Lane:
    """It is powered off first: its k3s would register the deleted node again.

    Whatever volumes it holds are free to be detached then: its pods run elsewhere since it was declared lost.
    """
    name = record.machine
    delete = DeleteKubeNode(machine=name, server=record.role is Role.CONTROL_PLANE)
    return Lane.of(
        name,
        MarkLeaving(machine=name),
        StopVm(machine=name, detach_disks=True),
        *((LaneStep(step=delete, needs=(API_REACHABLE,)),) if serves else ()),
        DestroyVm(machine=name, detach_disks=True),
    )

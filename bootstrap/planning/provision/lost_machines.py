"""How machines go that the user has declared lost: out of Kubernetes at once, their VM once it is seen again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Replaced, Role
from bootstrap.model.observed import KubeNode, VmRecord
from bootstrap.planning.day2_steps import DeleteKubeNode, MarkLeaving
from bootstrap.planning.healthy_server import healthy_server, needed_server
from bootstrap.planning.members.out_of_sight import stood_in_for
from bootstrap.planning.members.pool_members import Member
from bootstrap.planning.plan import Gate, Lane, LaneStep, PlannedMachine
from bootstrap.planning.provision.decommission import check_quorum, departing, out_of_kubernetes
from bootstrap.planning.provision.joining import API_REACHABLE
from bootstrap.planning.steps import DestroyVm, StopVm
from bootstrap.records.machine import is_ours

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class Farewells:
    """Lanes and machines of a plan for those that have successors.

    Attributes:
        servers: Open once dead servers are out of etcd: it takes no new member before (k3s.md).
    """

    machines: tuple[PlannedMachine, ...]
    lanes: tuple[Lane, ...]
    servers: tuple[Gate, ...]


def plan_farewells(view: ClusterView) -> Farewells:
    """What goes of machines that have successors, or get them by this plan.

    Raises:
        PreflightError: A machine was declared lost, and no server can take it out of the cluster.
    """
    given_up = {old.machine for old in view.observed.given_up}
    succeeded = stood_in_for(view)
    kube_nodes = {node.name: node for node in view.observed.kube_nodes or ()}
    back = [vm for vm in view.observed.vms if vm.record and is_ours(vm, view.spec.name) and _is_back(vm, succeeded)]
    there = {vm.record.machine for vm in back if vm.record}
    dead = [
        kube_nodes[name]
        for name in sorted(given_up | {old.machine for old in succeeded} - there)
        if name in kube_nodes and (name in given_up or not kube_nodes[name].ready)
    ]
    if given_up:
        needed_server(view, besides=given_up)
        check_quorum(view, going=[node.name for node in dead if _is_server(node)])
    serves = healthy_server(view, besides=[*given_up, *there]) is not None
    shown = (departing(_member(vm, kube_nodes), "has a successor, and its Proxmox node is back") for vm in back)
    return Farewells(
        machines=tuple(planned for planned in shown if planned is not None),
        lanes=(
            *(_dead_lane(node) for node in dead if serves),
            *(_returned_lane(vm, serves=serves) for vm in back),
        ),
        servers=tuple(out_of_kubernetes(node.name) for node in dead if serves and _is_server(node)),
    )


def _is_back(vm: VmRecord, succeeded: frozenset[Replaced]) -> bool:
    return any(vm.record and (old.machine, old.vmid) == (vm.record.machine, vm.vmid) for old in succeeded)


def _member(vm: VmRecord, kube_nodes: dict[MachineName, KubeNode]) -> Member:
    name = vm.record.machine if vm.record else MachineName(vm.name)
    return Member(name=name, vm=vm, kube_node=kube_nodes.get(name))


def _is_server(node: KubeNode) -> bool:
    return "control-plane" in node.roles


def _dead_lane(node: KubeNode) -> Lane:
    step = DeleteKubeNode(machine=node.name, server=_is_server(node))
    return Lane(
        name=node.name, steps=(LaneStep(step=step, needs=(API_REACHABLE,), opens=(out_of_kubernetes(node.name),)),)
    )


def _returned_lane(vm: VmRecord, *, serves: bool) -> Lane:
    """Its power goes first: its k3s would register a node that is deleted before."""
    name = vm.record.machine if vm.record else MachineName(vm.name)
    is_server = vm.record is not None and vm.record.role is Role.CONTROL_PLANE
    delete = LaneStep(step=DeleteKubeNode(machine=name, server=is_server), needs=(API_REACHABLE,))
    return Lane(
        name=name,
        steps=(
            LaneStep(step=MarkLeaving(machine=name)),
            LaneStep(step=StopVm(machine=name)),
            *((delete,) if serves else ()),
            LaneStep(step=DestroyVm(machine=name)),
        ),
    )

"""What a re-spread of the machines over the Proxmox nodes would move, and why. Pure.

A linked clone cannot leave its template's storage, and k3s keeps a machine's data on its disk: machines are not moved,
they are replaced by fresh clones (`replace`), which go where placement puts them. So one is moved here exactly where
placement would put its successor on another Proxmox node, and that is worth it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.errors import CapacityError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName, PveNodeName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import Observed, VmRecord
from bootstrap.planning.capacity.maintenance import in_maintenance
from bootstrap.planning.capacity.placement import Sources, place, rooms
from bootstrap.planning.members.twins import twin_lines
from bootstrap.planning.members.unreachable import unreachable_lines
from bootstrap.planning.provision.kept_counts import with_kept_counts
from bootstrap.planning.provision.replacement_capacity import with_commitment
from bootstrap.planning.templates.machine_images import sources_for
from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class Move:
    """A machine whose successor would stand elsewhere."""

    machine: MachineName
    pool: PoolName
    role: Role
    origin: PveNodeName
    target: PveNodeName
    why: str


@dataclass(frozen=True, kw_only=True)
class RebalancePlan:
    """What a re-spread comes to.

    Attributes:
        moves: In the order in which they are best made: servers first.
        notes: What stays where it is for a reason the user should know.
    """

    moves: tuple[Move, ...]
    notes: tuple[str, ...]


def plan_rebalance(spec: ClusterSpec, observed: Observed) -> RebalancePlan:
    """Which machines would move.

    Args:
        spec: The cluster, sizes settled.
        observed: What there is.

    Raises:
        PreflightError: There is no template that machines could be made of.
    """
    # `replace`, which makes the moves, keeps every machine too
    view = ClusterView(with_kept_counts(ClusterView(spec, observed)), observed)
    there = {
        each.name: (each.machine, each.vm)
        for each in view.states
        if each.vm is not None and each.made and not each.leaving and not each.held
    }
    sources = sources_for(view, [machine for machine, _ in there.values()], clones=True)
    offline = {facts.name for facts in observed.pve_nodes if not facts.online}
    stuck = [name for name, (_, vm) in there.items() if vm.pve_node in offline]
    moves = tuple(_moves(view, there, sources, besides=stuck))
    hidden = (*unreachable_lines(view), *twin_lines(view))
    kept = (f"{name} is not moved: {there[name][1].pve_node} is offline" for name in stuck)
    return RebalancePlan(moves=moves, notes=(*hidden, *kept, *_notes(view, offline)))


def _moves(
    view: ClusterView,
    there: Mapping[MachineName, tuple[MachineSpec, VmRecord]],
    sources: Sources,
    *,
    besides: Sequence[MachineName],
) -> Iterator[Move]:
    """One move after another, each as if those before it had been made."""
    existing = [vm for _, vm in there.values()]
    left = dict(sorted(((name, each) for name, each in there.items() if name not in besides), key=_order))
    while left:
        found = (_move(view, machine, vm, existing, sources) for machine, vm in left.values())
        move = next((each for each in found if each is not None), None)
        if move is None:
            return
        _, vm = left.pop(move.machine)
        seen = with_commitment(view.observed, vm.pve_node, -vm.cores, -vm.memory_mib)
        view = replace(view, observed=with_commitment(seen, move.target, vm.cores, vm.memory_mib))
        existing = [replace(each, pve_node=move.target) if each is vm else each for each in existing]
        yield move


def _order(each: tuple[MachineName, tuple[MachineSpec, VmRecord]]) -> tuple[bool, int]:
    """Servers first, then the newest: it has the least on it."""
    _, (machine, vm) = each
    return machine.role is not Role.CONTROL_PLANE, -vm.vmid


def _move(
    view: ClusterView,
    machine: MachineSpec,
    vm: VmRecord,
    existing: Sequence[VmRecord],
    sources: Sources,
) -> Move | None:
    """Where a machine's successor would stand once it has gone; None: where it stands, or hardly better."""
    others = [each for each in existing if each is not vm and each.vmid != vm.vmid]
    without = replace(view, observed=with_commitment(view.observed, vm.pve_node, -vm.cores, -vm.memory_mib))
    try:
        target = place(without, new=[machine], existing=others, sources=sources).of[machine.name]
    except CapacityError:
        return None
    if target == vm.pve_node:
        return None
    why = _why(without, machine, vm, others, sources, target)
    if not why:
        return None
    return Move(machine=machine.name, pool=machine.pool, role=machine.role, origin=vm.pve_node, target=target, why=why)


def _why(
    view: ClusterView,
    machine: MachineSpec,
    vm: VmRecord,
    others: Sequence[VmRecord],
    sources: Sources,
    target: PveNodeName,
) -> str:
    """What is better on the target; empty where it is too little for the trouble."""
    if vm.pve_node in in_maintenance(view):
        return f"{vm.pve_node} is in maintenance"
    by_name = {capacity.pve_node: capacity for capacity in rooms(view, others, sources)}
    here, there = by_name.get(vm.pve_node), by_name[target]
    if here is None:
        return f"{vm.pve_node} is not among the Proxmox nodes that the inventory allows, or has no template"
    if machine.role is Role.CONTROL_PLANE and there.servers < here.servers:
        return f"{vm.pve_node} has {here.servers + 1} servers, {target} {there.servers or 'none'}"
    if machine.role is not Role.CONTROL_PLANE:
        more_mib = there.free_memory_mib * there.weight - here.free_memory_mib * here.weight
        if more_mib >= machine.memory_mib * max(there.weight, here.weight):
            free = (
                f"{_gib(there.free_memory_mib)} free, {vm.pve_node} {_gib(here.free_memory_mib - machine.memory_mib)}"
            )
            return f"{target} has {free}"
    return ""


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f} GiB"


def _notes(view: ClusterView, offline: set[PveNodeName]) -> Iterator[str]:
    empty = filter(view.may_use, sorted(offline))
    yield from (f"{name} is offline: nothing is moved there" for name in empty)
    yield from (f"{name} is in maintenance: nothing is moved there" for name in in_maintenance(view))

"""What a re-spread of the machines over the Proxmox nodes would move, and why. Pure.

A linked clone cannot leave its template's storage, and k3s keeps a machine's data on its disk: machines are not moved,
they are replaced by fresh clones (`replace`), which go where placement puts them. So one is moved here exactly where
placement would put its successor on another Proxmox node, and that is worth it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bootstrap.errors import CapacityError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName, PveNodeName
from bootstrap.model.machine import MachineSpec, RecordState, Role
from bootstrap.model.observed import Observed, VmRecord
from bootstrap.planning.capacity.maintenance import in_maintenance
from bootstrap.planning.capacity.placement import Sources, place, rooms
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.members.out_of_sight import lines
from bootstrap.planning.members.twins import twin_lines
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
class Respread:
    """What a re-spread comes to.

    Attributes:
        moves: In the order in which they are best made: servers first.
        notes: What stays where it is for a reason the user should know.
    """

    moves: tuple[Move, ...]
    notes: tuple[str, ...]


def plan_respread(spec: ClusterSpec, observed: Observed) -> Respread:
    """Which machines would move.

    Args:
        spec: The cluster, sizes settled.
        observed: What there is.

    Raises:
        PreflightError: There is no template that machines could be made of.
    """
    spec = with_kept_counts(ClusterView(spec, observed))  # `replace`, which makes the moves, keeps every machine too
    there = [machine_state for machine_state in ClusterView(spec, observed).states if _is_made(machine_state)]
    sources = sources_for(ClusterView(spec, observed), [machine_state.machine for machine_state in there], clones=True)
    offline = {facts.name for facts in observed.pve_nodes if not facts.online}
    movable = [
        machine_state
        for machine_state in there
        if machine_state.vm is not None and machine_state.vm.pve_node not in offline
    ]
    existing = [machine_state.vm for machine_state in there if machine_state.vm is not None]
    moves: list[Move] = []
    seen, moved = observed, True
    while moved and len(moves) < len(movable):
        moved = False
        done = {move.machine for move in moves}
        for machine_state in sorted(movable, key=_order):
            if machine_state.name in done or machine_state.vm is None:
                continue
            found = _move(ClusterView(spec, seen), machine_state.machine, machine_state.vm, existing, sources)
            if found is None:
                continue
            gone = with_commitment(
                seen, machine_state.vm.pve_node, -machine_state.vm.cores, -machine_state.vm.memory_mib
            )
            seen = with_commitment(gone, found.target, machine_state.vm.cores, machine_state.vm.memory_mib)
            existing = [replace(vm, pve_node=found.target) if vm is machine_state.vm else vm for vm in existing]
            moves.append(found)
            moved = True
            break
    hidden = (*lines(ClusterView(spec, observed)), *twin_lines(ClusterView(spec, observed)))
    return Respread(moves=tuple(moves), notes=(*hidden, *_notes(ClusterView(spec, observed), there, offline)))


def _is_made(machine_state: MachineState) -> bool:
    record = machine_state.vm.record if machine_state.vm else None
    return record is not None and record.state is RecordState.MADE and not machine_state.held


def _order(machine_state: MachineState) -> tuple[bool, int]:
    """Servers first, then the newest: it has the least on it."""
    return (not machine_state.is_server, -(machine_state.vm.vmid if machine_state.vm else 0))


def _move(
    view: ClusterView,
    machine: MachineSpec,
    vm: VmRecord,
    existing: Sequence[VmRecord],
    sources: Sources,
) -> Move | None:
    """Where a machine's successor would stand once it has gone; None: where it stands, or hardly better."""
    others = [each for each in existing if each is not vm and each.vmid != vm.vmid]
    without = with_commitment(view.observed, vm.pve_node, -vm.cores, -vm.memory_mib)
    try:
        target = place(ClusterView(view.spec, without), new=[machine], existing=others, sources=sources).of[
            machine.name
        ]
    except CapacityError:
        return None
    if target == vm.pve_node:
        return None
    why = _why(view.spec, without, machine, vm, others, sources, target)
    if not why:
        return None
    return Move(machine=machine.name, pool=machine.pool, role=machine.role, origin=vm.pve_node, target=target, why=why)


def _why(
    spec: ClusterSpec,
    without: Observed,
    machine: MachineSpec,
    vm: VmRecord,
    others: Sequence[VmRecord],
    sources: Sources,
    target: PveNodeName,
) -> str:
    """What is better on the target; empty where it is too little for the trouble."""
    if vm.pve_node in in_maintenance(ClusterView(spec, without)):
        return f"{vm.pve_node} is in maintenance"
    by_name = {capacity.pve_node: capacity for capacity in rooms(ClusterView(spec, without), others, sources)}
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


def _notes(view: ClusterView, there: Sequence[MachineState], offline: set[PveNodeName]) -> tuple[str, ...]:
    stuck = [
        f"{machine_state.name} stays: {machine_state.vm.pve_node} is offline"
        for machine_state in there
        if machine_state.vm is not None and machine_state.vm.pve_node in offline
    ]
    allowed = view.spec.placement.pve_nodes
    empty = [name for name in sorted(offline) if not allowed or name in allowed]
    return (
        *stuck,
        *(f"{name} is offline: nothing is moved there" for name in empty),
        *(f"{name} is in maintenance: nothing is moved there" for name in in_maintenance(view)),
    )

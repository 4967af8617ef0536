"""Which machines would be better on another Proxmox node, and why. Pure.

A linked clone cannot leave its template's storage, and k3s keeps a machine's data on its disk: so a machine is moved by
`replace`, which creates a fresh clone where placement puts it. A move is proposed where that is another Proxmox node,
and worth it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bootstrap.errors import CapacityError
from bootstrap.model.ids import MachineName, PoolName, PveNodeName
from bootstrap.model.machine import Role
from bootstrap.model.observed import VmRecord
from bootstrap.planning.capacity.maintenance import in_maintenance
from bootstrap.planning.capacity.placement import Sources, place, rooms
from bootstrap.planning.members.existing_machines import Present
from bootstrap.planning.members.twins import twin_lines
from bootstrap.planning.members.unreachable import unreachable_lines
from bootstrap.planning.provision.kept_counts import with_kept_counts
from bootstrap.planning.provision.replacement_capacity import with_commitment
from bootstrap.planning.templates.machine_images import sources_for
from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class Move:
    """A machine whose successor would be on another Proxmox node."""

    machine: MachineName
    pool: PoolName
    role: Role
    origin: PveNodeName
    target: PveNodeName
    why: str


@dataclass(frozen=True, kw_only=True)
class RebalancePlan:
    """The moves that spread the machines better.

    Attributes:
        moves: In the order in which they are best made: servers first.
        notes: What is not moved, and why.
    """

    moves: tuple[Move, ...]
    notes: tuple[str, ...]


def plan_rebalance(view: ClusterView) -> RebalancePlan:
    """Which machines would move.

    Args:
        view: The cluster, with existing sizes, and as seen.

    Raises:
        PreflightError: There is no template that machines could be created from.
    """
    # `replace`, which makes the moves, keeps every machine too
    view = replace(view, spec=with_kept_counts(view))
    movable = list(_movable(view))
    sources = sources_for(view, [each.machine for each in movable], clones=True)
    offline = {facts.name for facts in view.observed.pve_nodes if not facts.online}
    online = [each for each in movable if each.vm.pve_node not in offline]
    stage = _Stage(view=view, existing=tuple(each.vm for each in movable), sources=sources)
    kept = [
        f"{each.machine.name} is not moved: {each.vm.pve_node} is offline" for each in movable if each not in online
    ]
    notes = (*unreachable_lines(view), *twin_lines(view), *kept, *_notes(view, offline))
    return RebalancePlan(moves=tuple(_moves(stage, online)), notes=notes)


def _movable(view: ClusterView) -> Iterator[Present]:
    for each in view.states:
        if each.vm is not None and each.made and not (each.leaving or each.held):
            yield Present(machine=each.machine, vm=each.vm)


def _moves(stage: _Stage, movable: Sequence[Present]) -> Iterator[Move]:
    """One move after another, each as if those before it had been made."""
    # Servers first, then the newest: it has the least on it.
    in_order = sorted(movable, key=lambda each: (not each.is_server, -each.vm.vmid))
    left = {each.machine.name: each for each in in_order}
    while (move := next(filter(None, map(stage.move, left.values())), None)) is not None:
        stage = stage.after(left.pop(move.machine).vm, move.target)
        yield move


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """The cluster between two moves.

    Attributes:
        view: The cluster, with what its Proxmox nodes then have free.
        existing: Its VMs, where they are then.
        sources: What machines can be created from on each Proxmox node.
    """

    view: ClusterView
    existing: tuple[VmRecord, ...]
    sources: Sources

    def after(self, vm: VmRecord, target: PveNodeName) -> _Stage:
        """The stage once a VM has moved."""
        observed = with_commitment(self.without(vm).view.observed, target, vm.cores, vm.memory_mib)
        existing = tuple(replace(each, pve_node=target) if each is vm else each for each in self.existing)
        return replace(self, view=replace(self.view, observed=observed), existing=existing)

    def without(self, vm: VmRecord) -> _Stage:
        """The stage without a VM."""
        observed = with_commitment(self.view.observed, vm.pve_node, -vm.cores, -vm.memory_mib)
        others = tuple(each for each in self.existing if each is not vm and each.vmid != vm.vmid)
        return replace(self, view=replace(self.view, observed=observed), existing=others)

    def move(self, present: Present) -> Move | None:
        """Where its successor would go once it is removed; None: where it is, or hardly better."""
        spec, origin, rest = present.machine, present.vm.pve_node, self.without(present.vm)
        try:
            target = place(rest.view, new=[spec], existing=rest.existing, sources=self.sources).of[spec.name]
        except CapacityError:
            return None
        why = rest.why(present, target) if target != origin else ""
        if not why:
            return None
        return Move(machine=spec.name, pool=spec.pool, role=spec.role, origin=origin, target=target, why=why)

    def why(self, present: Present, target: PveNodeName) -> str:
        """What is better on the target; empty where it is not worth it."""
        origin = present.vm.pve_node
        if origin in in_maintenance(self.view):
            return f"{origin} is in maintenance"
        by_name = {capacity.pve_node: capacity for capacity in rooms(self.view, self.existing, self.sources)}
        here, there = by_name.get(origin), by_name[target]
        if here is None:
            return f"{origin} is not among the Proxmox nodes that the inventory allows, or has no template"
        if present.is_server:
            fewer = there.servers < here.servers
            return f"{origin} has {here.servers + 1} servers, {target} {there.servers or 'none'}" if fewer else ""
        memory_mib = present.machine.memory_mib
        more_mib = there.free_memory_mib * there.weight - here.free_memory_mib * here.weight
        if more_mib < memory_mib * max(there.weight, here.weight):
            return ""
        return f"{target} has {_gib(there.free_memory_mib)} free, {origin} {_gib(here.free_memory_mib - memory_mib)}"


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f} GiB"


def _notes(view: ClusterView, offline: set[PveNodeName]) -> Iterator[str]:
    empty = filter(view.may_use, sorted(offline))
    yield from (f"{name} is offline: nothing is moved there" for name in empty)
    yield from (f"{name} is in maintenance: nothing is moved there" for name in in_maintenance(view))

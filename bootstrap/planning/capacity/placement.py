"""Puts machines on Proxmox nodes: pure, repeatable, and with reasons where it cannot.

Servers spread (fewest servers first), workers go where most memory is free, times the Proxmox node's weight; names
break ties, so the same input gives the same answer. A Proxmox node that has to be given the template first comes after
others, unless it has much more room or the servers are spread by it. Machines that exist stay where they are. Should
spreading leave one machine without a place though the sum would fit, the machines are packed tightly instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bootstrap.errors import CapacityError
from bootstrap.model.cluster import CloneMode, ClusterSpec
from bootstrap.model.ids import MachineName, PoolName, PveNodeName, StorageName
from bootstrap.model.machine import MachineKind, MachineSpec, Role
from bootstrap.model.observed import TemplateFacts, VmRecord
from bootstrap.model.words import count
from bootstrap.planning.capacity.maintenance import in_maintenance
from bootstrap.planning.capacity.sizing import CPU_WARN_RATIO, LINKED_CLONE_GIB, Capacity, why_not
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.disks_and_devices import data_storage

TEMPLATE_WAIT_MIB = 8192
"""How much more free memory a Proxmox node without the template must have than one that has it to be worth the minutes
that its template takes."""

Rank = Callable[[Capacity, MachineSpec], tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where each new machine goes, and notes for the user."""

    of: Mapping[MachineName, PveNodeName]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ContainerBase:
    """What a pool's containers are made of on one Proxmox node; `storage` is for their root file systems."""

    ostemplate: str
    storage: StorageName


Source = TemplateFacts | ContainerBase
"""What a machine is made of."""
Bases = Mapping[PoolName, Mapping[PveNodeName, ContainerBase]]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What machines can be made of, by Proxmox node.

    Attributes:
        templates: For VMs: the template that is cloned.
        bases: For containers, pool by pool.
    """

    templates: Mapping[PveNodeName, TemplateFacts]
    bases: Bases = field(default_factory=dict)

    @property
    def pve_nodes(self) -> frozenset[PveNodeName]:
        """The Proxmox nodes that have any."""
        return frozenset(self.templates).union(*self.bases.values())

    def of(self, machine: MachineSpec, pve_node: PveNodeName) -> Source | None:
        """What a machine is made of on a Proxmox node, or None where there is nothing."""
        if machine.kind is MachineKind.LXC:
            return self.bases.get(machine.pool, {}).get(pve_node)
        return self.templates.get(pve_node)


def clones_full(spec: ClusterSpec, template: TemplateFacts) -> bool:
    """Whether machines of this template are full clones: asked for, or linked ones cannot be."""
    return spec.clone is CloneMode.FULL or not template.linkable


def needs_shared(spec: ClusterSpec, template: TemplateFacts, pve_node: PveNodeName) -> bool:
    """Whether a machine's disk on this Proxmox node can only be on shared storage.

    A full clone of a template of another Proxmox node: "can't clone to non-shared storage" (qemu-server:
    API2/Qemu.pm, clone_vm).
    """
    return template.pve_node != pve_node and clones_full(spec, template)


def not_shared(template: TemplateFacts) -> str:
    """What is said of a storage that is not shared and would have to be, as it reads after its name."""
    return f"is not shared, and full clones of the template on {template.pve_node} can only go to shared storage"


def place(
    view: ClusterView,
    *,
    new: Sequence[MachineSpec],
    existing: Sequence[VmRecord],
    sources: Sources,
) -> Placement:
    """Choose a Proxmox node for each new machine, beside the cluster's existing VMs.

    Raises:
        CapacityError: Not all fit; the details say why, for each Proxmox node.
    """
    start = rooms(view, existing, sources)
    by_need = sorted(new, key=lambda machine: (-machine.memory_mib, -machine.cores))
    attempts = ((new, _spread), (by_need, _spread), (by_need, _pack))
    refusals = []
    for order, rank in attempts:
        attempt = _Attempt(view, sources, rank, start)
        refused = next((machine for machine in order if not attempt.put(machine)), None)
        if refused is None:
            return Placement(of=attempt.chosen, notes=(*_notes(start, attempt.room), *_left_out(view, new, sources)))
        refusals.append((refused, attempt))
    raise _does_not_fit(*refusals[0], wanted=len(new))


def rooms(
    view: ClusterView,
    existing: Sequence[VmRecord],
    sources: Sources,
) -> list[Capacity]:
    """The room of each Proxmox node that machines may go to, before any new one is put on it; see `place`."""
    weights = dict(view.spec.placement.weights)
    return [
        replace(
            _with_template(_with_existing(Capacity.of(facts, view.spec.sizing), existing), sources.templates),
            weight=weights.get(facts.name, 1),
        )
        for facts in view.observed.pve_nodes
        if facts.name in sources.pve_nodes
    ]


def _with_existing(capacity: Capacity, existing: Sequence[VmRecord]) -> Capacity:
    here = [vm for vm in existing if vm.pve_node == capacity.pve_node]
    uncounted = [vm for vm in here if not (vm.running or vm.onboot)]
    return replace(
        capacity,
        servers=sum(vm.is_server for vm in here),
        machines=len(here),
        committed_cores=capacity.committed_cores + sum(vm.cores for vm in uncounted),
        committed_memory_mib=capacity.committed_memory_mib + sum(vm.memory_mib for vm in uncounted),
    )


def _with_template(capacity: Capacity, templates: Mapping[PveNodeName, TemplateFacts]) -> Capacity:
    """The room beside a template that is yet to come, and what waiting for it is worth.

    Several are built in parallel, so where no Proxmox node has one yet, none waits longer than the others. A build that
    was interrupted is finished, so that the machines go where they would have gone.
    """
    here = templates.get(capacity.pve_node)
    if here is None or not here.planned:
        return capacity
    wait = not here.begun and any(not template.planned for template in templates.values())
    room = tuple((name, free - here.disk_gib if name == here.storage else free) for name, free in capacity.free_gib)
    return replace(capacity, free_gib=room, wait_mib=TEMPLATE_WAIT_MIB if wait else 0)


def _spread(capacity: Capacity, machine: MachineSpec) -> tuple[float, ...]:
    servers = capacity.servers if machine.role is Role.CONTROL_PLANE else 0
    return (servers, capacity.wait_mib - capacity.free_memory_mib * capacity.weight, capacity.machines)


def _pack(capacity: Capacity, _machine: MachineSpec) -> tuple[float, ...]:
    return (capacity.wait_mib, capacity.free_memory_mib, capacity.free_cores)


def _need(spec: ClusterSpec, machine: MachineSpec, template: Source) -> Mapping[StorageName, int]:
    """What the machine's disks take of each storage, in GiB. A container's is no clone and counts as a whole."""
    if isinstance(template, ContainerBase):
        return {template.storage: machine.disk_gib}
    storage, gib = template.storage, LINKED_CLONE_GIB
    if clones_full(spec, template):
        storage = machine.storage or spec.placement.storage or template.storage
        gib = max(machine.disk_gib, template.disk_gib)
    need: dict[StorageName, int] = {storage: gib} if storage is not None else {}
    if machine.hardware.data_disk is not None:
        beside = data_storage(spec, machine, template=template.storage)
        need[beside] = need.get(beside, 0) + machine.hardware.data_disk.size_gib
    return need


def _why_not(spec: ClusterSpec, capacity: Capacity, machine: MachineSpec, template: Source) -> tuple[str, ...]:
    if machine.pve_nodes and capacity.pve_node not in machine.pve_nodes:
        return (f"the pool {machine.pool} is limited to {', '.join(machine.pve_nodes)}",)
    if isinstance(template, TemplateFacts) and needs_shared(spec, template, capacity.pve_node):
        storage = machine.storage or spec.placement.storage or template.storage
        if storage not in capacity.shared:
            return (f"{storage} {not_shared(template)}",)
    return why_not(capacity, machine, disks_gib=_need(spec, machine, template))


class _Attempt:
    """Machines put on Proxmox nodes one after the other.

    Attributes:
        room: What each Proxmox node can still take.
        chosen: Where the machines so far go.
    """

    def __init__(self, view: ClusterView, sources: Sources, rank: Rank, start: Sequence[Capacity]) -> None:
        self.view, self._sources, self._rank = view, sources, rank
        self.room = {capacity.pve_node: capacity for capacity in start}
        self._shared = view.observed.shared_storages
        self.chosen: dict[MachineName, PveNodeName] = {}

    def put(self, machine: MachineSpec) -> bool:
        """Put a machine on the best Proxmox node that it fits on; False where there is none."""
        fitting = [(capacity, source) for capacity, source, reasons in self.verdicts(machine) if not reasons]
        if not fitting:
            return False
        best, source = min(fitting, key=lambda pair: (self._rank(pair[0], machine), pair[0].pve_node))
        need = _need(self.view.spec, machine, source)
        shared = {name: gib for name, gib in need.items() if name in self._shared}
        for name, capacity in self.room.items():
            self.room[name] = replace(capacity, free_gib=_less(capacity.free_gib, shared))
        self.room[best.pve_node] = _put(best, machine, need)
        self.chosen[machine.name] = best.pve_node
        return True

    def verdicts(self, machine: MachineSpec) -> Iterator[tuple[Capacity, Source, tuple[str, ...]]]:
        """Each Proxmox node that has what a machine is made of, with this and why the machine does not fit there."""
        for name, capacity in sorted(self.room.items()):
            source = self._sources.of(machine, name)
            if source is not None:
                yield capacity, source, _why_not(self.view.spec, capacity, machine, source)


def _less(
    free_gib: tuple[tuple[StorageName, int], ...], taken_gib: Mapping[StorageName, int]
) -> tuple[tuple[StorageName, int], ...]:
    return tuple((name, free - taken_gib.get(name, 0)) for name, free in free_gib)


def _put(capacity: Capacity, machine: MachineSpec, disks_gib: Mapping[StorageName, int]) -> Capacity:
    return replace(
        capacity,
        committed_cores=capacity.committed_cores + machine.cores,
        committed_memory_mib=capacity.committed_memory_mib + machine.memory_mib,
        free_gib=_less(capacity.free_gib, disks_gib),
        servers=capacity.servers + (machine.role is Role.CONTROL_PLANE),
        machines=capacity.machines + 1,
        wait_mib=0,
    )


def _notes(before: Sequence[Capacity], after: Mapping[PveNodeName, Capacity]) -> tuple[str, ...]:
    notes = []
    for old in before:
        new = after[old.pve_node]
        ratio = new.committed_cores / new.cores if new.cores else 0.0
        if new.machines > old.machines and ratio > CPU_WARN_RATIO:
            notes.append(
                f"{new.pve_node}: guests will have {new.committed_cores} vCPUs on {new.cores} cores "
                f"({ratio:.1f} per core; up to {new.sizing.cpu_overcommit:g} is allowed)"
            )
    return tuple(notes)


def _left_out(view: ClusterView, new: Sequence[MachineSpec], sources: Sources) -> tuple[str, ...]:
    """One line for each Proxmox node that would count if it were up, not in maintenance and had the template."""
    if not new:
        return ()
    resting = in_maintenance(view)
    offline = [facts.name for facts in view.observed.pve_nodes if not facts.online and view.may_use(facts.name)]
    vms = [machine for machine in new if machine.kind is MachineKind.VM]
    return (
        *(f"{name} is in maintenance ({by}): no new machine is placed there" for name, by in resting.items()),
        *(f"{name} is offline: no new machine is placed there" for name in offline),
        *_without_template(view, vms, sources),
    )


def _without_template(view: ClusterView, vms: Sequence[MachineSpec], sources: Sources) -> Iterator[str]:
    """Where machines could go that is left empty since the template is elsewhere."""
    homes = ", ".join(sorted({template.pve_node for template in sources.templates.values()}))
    for facts in view.observed.pve_nodes:
        wanted = any(not machine.pve_nodes or facts.name in machine.pve_nodes for machine in vms)
        if facts.online and view.may_use(facts.name) and wanted and facts.name not in sources.templates:
            yield (
                f"{facts.name} has no template ({view.spec.template}), and the one of {homes} cannot be cloned to it: "
                "no new machine is placed there; build a template there too, or move its disks to shared storage"
            )


def _does_not_fit(refused: MachineSpec, attempt: _Attempt, *, wanted: int) -> CapacityError:
    lines = []
    for capacity, _, reasons in attempt.verdicts(refused):
        planned = f" (with {capacity.machines} of this cluster's machines on it)" if capacity.machines else ""
        lines.append(f"{capacity.pve_node}{planned}: {'; '.join(reasons)}")
    lines += [f"{name}: in maintenance, according to {by}" for name, by in in_maintenance(attempt.view).items()]
    return CapacityError(
        f"{refused.name} ({count(refused.cores, 'core')}, {refused.memory_mib} MiB) fits on no Proxmox node; "
        f"{count(wanted, 'new machine')} needed, nothing was created",
        details="\n".join(lines),
        resolution="use fewer or smaller machines, change `sizing` in the inventory, or free some room",
    )

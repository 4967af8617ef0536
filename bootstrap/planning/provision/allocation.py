"""What a plan's new machines get: template, Proxmox node, vmid and CPU type. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from bootstrap.errors import PreflightError
from bootstrap.k3s.dual_stack import check_families
from bootstrap.k3s.topology_labels import with_topology
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PveNodeName, Vmid
from bootstrap.model.machine import MachineKind, MachineSpec
from bootstrap.model.observed import TemplateFacts
from bootstrap.planning.capacity.address_ranges import skipped_address_notes
from bootstrap.planning.capacity.placement import Placement, Sources, clones_full, place
from bootstrap.planning.checks.clone_notes import clone_notes
from bootstrap.planning.checks.preflight import check_bridges, check_hardware, check_pod_ranges, check_storages
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.plan import Action, PlannedMachine, VmPlace
from bootstrap.planning.settings.notes import check_fixed
from bootstrap.planning.templates.machine_images import sources_for
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.cpu import check_cpu_types, common_cpu_type
from bootstrap.proxmox.inherited import taken_off_notes
from bootstrap.records.vms.lock import machine_vmids

Placed = tuple[MachineSpec, PveNodeName]


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What a plan's new machines get: templates, Proxmox nodes, vmids and CPU types, chosen once for the whole plan."""

    view: ClusterView
    sources: Sources
    placement: Placement
    vmids: Mapping[MachineName, Vmid]
    cpu_type: str
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls, view: ClusterView, all_states: Sequence[MachineState], *, placement: Placement | None = None
    ) -> Allocation:
        """Choose; `placement` where the new machines' places are known already.

        Raises:
            PreflightError: It cannot be done: no template, no room, no vmid left.
        """
        new = [each.machine for each in all_states if each.missing]
        existing = [each.vm for each in all_states if each.vm is not None]
        half_made = list(_half_made(all_states))
        containers = [machine for machine, _ in half_made if machine.kind is MachineKind.LXC]
        sources = sources_for(view, [*new, *containers], clones=len(half_made) > len(containers))
        check_families(view.spec, view.observed)
        check_fixed(view)
        check_pod_ranges(view.spec, len(all_states))
        check_storages(view, sources.templates)
        check_hardware(view, sources.templates)
        placement = placement or place(view, new=new, existing=existing, sources=sources)
        places = list(_places(new, placement))
        check_bridges(view, sources.templates, places)
        check_cpu_types(view.observed, [*places, *half_made])
        used = sources.pve_nodes.union(vm.pve_node for vm in existing)
        return cls(
            view=view,
            sources=sources,
            placement=placement,
            vmids=_choose_vmids(view, new),
            cpu_type=common_cpu_type(list(filter(lambda facts: facts.name in used, view.observed.pve_nodes))),
            notes=(
                *placement.notes,
                *skipped_address_notes(new, view),
                *_source_notes(view.spec, places, sources.templates),
                *clone_notes(view, sources.templates, places),
                *taken_off_notes(_clones(places, sources.templates).values()),
            ),
        )

    def machine(self, machine: MachineSpec) -> MachineSpec:
        """The machine with its CPU type chosen, and the labels of the place it gets."""
        placed = with_topology(self.view.spec, machine, self.placement.of.get(machine.name))
        if machine.kind is MachineKind.LXC:
            return placed
        return replace(placed, cpu_type=machine.cpu_type or self.cpu_type)

    def place(self, machine_state: MachineState) -> VmPlace:
        """Where its VM is or will be."""
        name = machine_state.name
        if machine_state.vm is None:
            return VmPlace(machine=name, pve_node=self.placement.of[name], vmid=self.vmids[name])
        return VmPlace.of(name, machine_state.vm)

    def planned(self, machine_state: MachineState, reason: str) -> PlannedMachine:
        """How the plan shows a machine that needs work."""
        existing = Action.CONTINUE if machine_state.interrupted else Action.REPAIR
        return PlannedMachine(
            spec=self.machine(machine_state.machine),
            place=self.place(machine_state),
            action=Action.CREATE if machine_state.vm is None else existing,
            reason=reason,
        )

    def architectures(self, work: Sequence[MachineState]) -> tuple[str, ...]:
        """Those of some machines, as k3s's releases name them: amd64 or arm64."""
        return tuple(sorted({self.view.observed.k3s_arch(self.place(each).pve_node) for each in work}))


def _half_made(all_states: Sequence[MachineState]) -> Iterator[Placed]:
    """Machines whose VM's creation was interrupted, with their Proxmox nodes."""
    for each in all_states:
        if each.vm is not None and each.interrupted:
            yield each.machine, each.vm.pve_node


def _places(new: Sequence[MachineSpec], placement: Placement) -> Iterator[Placed]:
    return ((machine, placement.of[machine.name]) for machine in new if machine.name in placement.of)


def _clones(
    places: Sequence[Placed], templates: Mapping[PveNodeName, TemplateFacts]
) -> Mapping[PveNodeName, TemplateFacts]:
    """The templates that are cloned, by the Proxmox nodes that get VMs."""
    return {name: templates[name] for machine, name in places if machine.kind is MachineKind.VM}


def _source_notes(
    spec: ClusterSpec, places: Sequence[Placed], templates: Mapping[PveNodeName, TemplateFacts]
) -> Iterator[str]:
    """What the user should know of full clones and of containers."""
    for name, template in sorted(_clones(places, templates).items()):
        if clones_full(spec, template) and not template.linkable:
            yield (
                f"{name}: full clones, since linked clones of template {template.name} are not possible on storage "
                f"{template.storage}"
            )
    for pool in dict.fromkeys(machine.pool for machine, _ in places if machine.kind is MachineKind.LXC):
        yield f"{pool}: some workloads run in VMs only (docs/lxc.md)"


def _choose_vmids(view: ClusterView, new: Sequence[MachineSpec]) -> Mapping[MachineName, Vmid]:
    vmids = view.spec.placement.vmids
    unused = (Vmid(n) for n in machine_vmids(vmids) if n not in view.observed.used_vmids)
    free = list(islice(unused, len(new)))
    if len(free) < len(new):
        raise PreflightError(
            f"the vmid range {vmids.first}-{vmids.last} is exhausted: no VMID is left for {new[len(free)].name}",
            details=f"{len(new)} needed, {len(free)} free ({vmids.last} is reserved for the marker VM); nothing was "
            "created",
            resolution="widen proxmox.vmids in the inventory, or remove VMs from that range",
        )
    return {machine.name: vmid for machine, vmid in zip(new, free, strict=False)}


def unchanged(machine_state: MachineState) -> PlannedMachine:
    """How the plan shows a machine that stays as it is."""
    vm, unreachable, held = machine_state.vm, machine_state.unreachable, machine_state.held
    if vm is not None:
        return PlannedMachine.of(machine_state.machine, vm, Action.KEEP, held)
    if unreachable is None:  # cannot be: a machine without any VM needs work
        raise AssertionError(machine_state)
    place_of = VmPlace(machine=machine_state.name, pve_node=unreachable.pve_node, vmid=unreachable.vmid)
    return PlannedMachine(spec=machine_state.machine, place=place_of, action=Action.KEEP, reason=held)

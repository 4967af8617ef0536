"""What machines are made of, and the lanes that make them: shared by every plan that lets machines arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.k3s.dual_stack import check_families
from bootstrap.k3s.topology_labels import with_topology
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import MachineKind, MachineSpec, Role
from bootstrap.model.observed import Observed, TemplateFacts
from bootstrap.planning.capacity.address_ranges import skipped_address_notes
from bootstrap.planning.capacity.placement import ContainerBase, Placement, Sources, clones_full, place
from bootstrap.planning.checks.clone_notes import clone_notes
from bootstrap.planning.checks.preflight import check_bridges, check_hardware, check_pod_ranges, check_storages
from bootstrap.planning.members.desired_machines import MachineState, Need
from bootstrap.planning.plan import Action, Gate, Lane, LaneStep, PlannedMachine, VmPlace
from bootstrap.planning.settings.notes import check_fixed
from bootstrap.planning.steps import (
    AwaitGuest,
    AwaitReady,
    CloneVm,
    ConfigureVm,
    CreateContainer,
    FetchK3s,
    InitServer,
    JoinAgent,
    JoinServer,
    PrepareGuest,
    StartVm,
    Step,
    WriteKubeconfig,
)
from bootstrap.planning.templates.machine_images import sources_for
from bootstrap.planning.templates.templates import matching_templates
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.cpu import check_cpu_types, common_cpu_type
from bootstrap.proxmox.inherited import taken_off_notes
from bootstrap.proxmox.networks import bridge_of
from bootstrap.records.vms.lock import machine_vmids

API_REACHABLE = Gate("api_reachable")
KUBECONFIG = Gate("kubeconfig_written")


def fetched(version: str, arch: str) -> Gate:
    """Open once a k3s release is here."""
    return Gate("k3s_fetched", f"{version}/{arch}")


def joined(name: MachineName) -> Gate:
    """Open once a server has joined."""
    return Gate("server_joined", name)


def ready(name: MachineName) -> Gate:
    """Open once a machine is Ready."""
    return Gate("ready", name)


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What machines are made of: templates, places, vmids and CPU types, chosen once for the whole plan."""

    view: ClusterView
    sources: Sources
    placement: Placement
    vmids: Mapping[MachineName, Vmid]
    cpu_type: str
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        view: ClusterView,
        all_states: Sequence[MachineState],
        *,
        placement: Placement | None = None,
    ) -> Allocation:
        """Choose; `placement` where the new machines' places are known already.

        Raises:
            PreflightError: It cannot be done: no template, no room, no vmid left.
        """
        new = [machine_state.machine for machine_state in all_states if machine_state.missing]
        existing = [machine_state.vm for machine_state in all_states if machine_state.vm is not None]
        half_made = _half_made(all_states)
        containers = [machine for machine, _ in half_made if machine.kind is MachineKind.LXC]
        sources = sources_for(view, [*new, *containers], clones=len(half_made) > len(containers))
        check_families(view.spec, view.observed)
        check_fixed(view, all_states)
        check_pod_ranges(view.spec, len(all_states))
        check_storages(view, sources.templates)
        check_hardware(view, sources.templates)
        placement = placement or place(view, new=new, existing=existing, sources=sources)
        places = [(machine, placement.of[machine.name]) for machine in new if machine.name in placement.of]
        check_bridges(view, sources.templates, places)
        check_cpu_types(view.observed, [*places, *half_made])
        used = sources.pve_nodes | {vm.pve_node for vm in existing}
        return cls(
            view=view,
            sources=sources,
            placement=placement,
            vmids=_choose_vmids(view, new),
            cpu_type=common_cpu_type([pve_node for pve_node in view.observed.pve_nodes if pve_node.name in used]),
            notes=(
                *placement.notes,
                *skipped_address_notes(new, view),
                *_full_clone_notes(view.spec, new, placement, sources.templates),
                *_container_notes(new),
                *clone_notes(view, sources.templates, places),
                *_taken_off(new, placement, sources),
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
        unmade = Action.CONTINUE if machine_state.interrupted else Action.REPAIR
        action = Action.CREATE if machine_state.vm is None else unmade
        return PlannedMachine(
            spec=self.machine(machine_state.machine), place=self.place(machine_state), action=action, reason=reason
        )

    def architectures(self, work: Sequence[MachineState]) -> tuple[str, ...]:
        """Those of some machines, as k3s's releases name them: amd64 or arm64."""
        places = map(self.place, work)
        return tuple(sorted({self.view.observed.k3s_arch(place_of.pve_node) for place_of in places}))


def _half_made(all_states: Sequence[MachineState]) -> tuple[tuple[MachineSpec, PveNodeName], ...]:
    """Machines whose VM was not finished, with their Proxmox nodes."""
    return tuple(
        (machine_state.machine, machine_state.vm.pve_node)
        for machine_state in all_states
        if machine_state.vm is not None and machine_state.interrupted
    )


def kept(machine_state: MachineState) -> PlannedMachine:
    """How the plan shows a machine that stays as it is."""
    name, vm, unreachable = machine_state.name, machine_state.vm, machine_state.unreachable
    if vm is not None:
        place_of = VmPlace.of(name, vm)
    elif unreachable is not None:
        place_of = VmPlace(machine=name, pve_node=unreachable.pve_node, vmid=unreachable.vmid)
    else:  # cannot be: a machine without any VM needs work
        raise AssertionError(machine_state)
    return PlannedMachine(spec=machine_state.machine, place=place_of, action=Action.KEEP, reason=machine_state.held)


def _taken_off(new: Sequence[MachineSpec], placement: Placement, sources: Sources) -> tuple[str, ...]:
    used = (sources.templates[name] for name in _clones_on(new, placement))
    return taken_off_notes({template.vmid: template for template in used}.values())


def _full_clone_notes(
    spec: ClusterSpec,
    new: Sequence[MachineSpec],
    placement: Placement,
    templates: Mapping[PveNodeName, TemplateFacts],
) -> tuple[str, ...]:
    return tuple(
        f"{name}: full clones, since linked clones of template {templates[name].name} are not possible on storage "
        f"{templates[name].storage}"
        for name in sorted(_clones_on(new, placement))
        if clones_full(spec, templates[name]) and not templates[name].linkable
    )


def _clones_on(new: Sequence[MachineSpec], placement: Placement) -> set[PveNodeName]:
    """The Proxmox nodes that get VMs."""
    return {placement.of[machine.name] for machine in new if machine.kind is MachineKind.VM}


def _container_notes(new: Sequence[MachineSpec]) -> tuple[str, ...]:
    pools = dict.fromkeys(machine.pool for machine in new if machine.kind is MachineKind.LXC)
    return tuple(f"{pool}: some workloads run in VMs only (docs/lxc.md)" for pool in pools)


def _choose_vmids(view: ClusterView, new: Sequence[MachineSpec]) -> Mapping[MachineName, Vmid]:
    vmids = view.spec.placement.vmids
    free = (Vmid(n) for n in machine_vmids(vmids) if n not in view.observed.used_vmids)
    chosen: dict[MachineName, Vmid] = {}
    for machine in new:
        vmid = next(free, None)
        if vmid is None:
            raise PreflightError(
                f"the vmid range {vmids.first}-{vmids.last} is exhausted: no VMID is left for {machine.name}",
                details=f"{len(new)} needed, {len(chosen)} free ({vmids.last} is reserved for the marker "
                "VM); nothing was created",
                resolution="widen proxmox.vmids in the inventory, or remove VMs from that range",
            )
        chosen[machine.name] = vmid
    return chosen


def fetch_lane(allocation: Allocation, work: Sequence[MachineState], version: str) -> Lane:
    """Have k3s here for each architecture there is work on."""
    steps = tuple(
        LaneStep(step=FetchK3s(version=version, arch=arch), opens=(fetched(version, arch),))
        for arch in allocation.architectures(work)
    )
    return Lane(name="k3s", steps=steps)


def kubeconfig_lane(spec: ClusterSpec, *, after: tuple[Gate, ...] = ()) -> Lane:
    """Have the kubeconfig written once there is access, and whatever else it needs, such as the VIP."""
    step = LaneStep(step=WriteKubeconfig(cluster=spec.name), needs=(API_REACHABLE, *after), opens=(KUBECONFIG,))
    return Lane(name="kubeconfig", steps=(step,))


def join_lane(
    allocation: Allocation,
    machine_state: MachineState,
    version: str,
    *,
    init: tuple[LaneStep, ...] | None = None,
    needs: tuple[Gate, ...] = (API_REACHABLE,),
    begins: tuple[Gate, ...] = (),
) -> Lane:
    """A machine from whatever there is of it to Ready.

    Args:
        allocation: What it is made of.
        machine_state: What there is of it.
        version: The k3s version it gets.
        init: For the server that all others join through: the steps instead of a join.
        needs: Gates before it joins.
        begins: Gates before anything is done.
    """
    machine = allocation.machine(machine_state.machine)
    place_of = allocation.place(machine_state)
    ready_step = LaneStep(step=AwaitReady(machine=machine), needs=(API_REACHABLE,), opens=(ready(machine.name),))
    if machine_state.need is Need.LABELS:
        return Lane(name=machine.name, steps=(ready_step,))
    steps = [LaneStep(step=step) for step in _vm_steps(allocation, machine_state, machine, place_of)]
    steps += [
        LaneStep(step=AwaitGuest(machine=machine.name)),
        LaneStep(
            step=PrepareGuest(machine=machine.name, version=version),
            needs=(fetched(version, allocation.view.observed.k3s_arch(place_of.pve_node)),),
        ),
        *(init if init is not None else (_join(machine, needs),)),
        ready_step,
    ]
    steps[0] = replace(steps[0], needs=(*begins, *steps[0].needs))
    return Lane(name=machine.name, steps=tuple(steps))


def _join(machine: MachineSpec, needs: tuple[Gate, ...]) -> LaneStep:
    if machine.role is Role.WORKER:
        return LaneStep(step=JoinAgent(machine=machine), needs=needs)
    return LaneStep(step=JoinServer(machine=machine), needs=needs, opens=(joined(machine.name),))


def init_step(spec: ClusterSpec, machine: MachineSpec, *, serves: bool = False) -> LaneStep:
    """The server others join through serves; where it does already, it is only looked at."""
    step = InitServer(machine=machine, etcd=spec.control_plane.count > 1, serves=serves)
    return LaneStep(step=step, opens=(API_REACHABLE,))


def access_lane(spec: ClusterSpec, machine: MachineSpec, *, further: tuple[LaneStep, ...] = ()) -> Lane:
    """A healthy server is only looked at: its address, token and kubeconfig are what others join with."""
    return Lane(
        name=machine.name,
        steps=(LaneStep(step=AwaitGuest(machine=machine.name)), init_step(spec, machine, serves=True), *further),
    )


def _vm_steps(
    allocation: Allocation, machine_state: MachineState, machine: MachineSpec, place_of: VmPlace
) -> tuple[Step, ...]:
    """The steps until the VM is powered on; a VM that is configured is only started or resumed, a running one left."""
    start = StartVm(machine=machine.name)
    if machine_state.vm is not None and machine_state.made:
        return () if not machine_state.vm.idle else (start,)
    source = allocation.sources.of(machine, place_of.pve_node)
    if isinstance(source, ContainerBase):
        return (_container_step(allocation, machine, place_of, source), start)
    template = source
    if template is None:
        raise PreflightError(
            f"{machine.name}: VM creation was interrupted on {place_of.pve_node}, which has no usable template any "
            "more",
            resolution=Advice("restore the template, or remove the cluster's machines with `homelab-k8s down`"),
        )
    full = clones_full(allocation.view.spec, template)
    storage = (machine.storage or allocation.view.spec.placement.storage) if full else None
    clone = CloneVm(
        machine=machine,
        template=template.vmid,
        template_pve_node=template.pve_node,
        pve_node=place_of.pve_node,
        vmid=place_of.vmid,
        full=full,
        storage=storage,
        locks=_lock_name(allocation.view.observed, place_of.pve_node, storage or template.storage),
        resource_pool=allocation.view.spec.placement.resource_pool,
        after_build=template.planned,
    )
    configure = ConfigureVm(
        machine=machine,
        disk=template.disk or "",
        scsi_controller=template.scsi_controller,
        template_tags=tuple(sorted(template.tags)),
    )
    return (clone, configure, start)


def _container_step(
    allocation: Allocation, machine: MachineSpec, place_of: VmPlace, base: ContainerBase
) -> CreateContainer:
    return CreateContainer(
        machine=machine,
        pve_node=place_of.pve_node,
        vmid=place_of.vmid,
        ostemplate=base.ostemplate,
        storage=base.storage,
        bridge=bridge_of(allocation.view.spec, _template_on(allocation, place_of.pve_node), machine),
        locks=_lock_name(allocation.view.observed, place_of.pve_node, base.storage),
        resource_pool=allocation.view.spec.placement.resource_pool,
    )


def _template_on(allocation: Allocation, pve_node: PveNodeName) -> TemplateFacts | None:
    """The VM template on a Proxmox node: where no bridge is named, containers are on the same one as VMs."""
    seen = [template for template in matching_templates(allocation.view) if template.pve_node == pve_node]
    return max(seen, key=lambda template: template.vmid, default=None)


def _lock_name(observed: Observed, pve_node: PveNodeName, storage: StorageName | None) -> str:
    """What a storage's lock is told by: of a shared one there is one in the Proxmox cluster, else one on each node."""
    facts = next((facts for facts in observed.pve_nodes if facts.name == pve_node), None)
    shared = facts is not None and any(seen.shared for seen in facts.storages if seen.name == storage)
    return f"{storage}" if shared else f"{pve_node}/{storage or 'its storage'}"

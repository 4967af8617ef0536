"""Plans `up`: what is missing is made, what is half-made is continued, what is broken is repaired.

Nothing is removed and nothing that works is touched; what would have to go is named in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import MachineSpec, RecordState, Role
from bootstrap.model.observed import KubeNode, Observed, TemplateFacts
from bootstrap.model.record import is_ours
from bootstrap.planning.cpu import common_cpu_type
from bootstrap.planning.drift import notes_on_drift
from bootstrap.planning.lock import check_lock_place, lock_vmid, machine_vmids, marker_of
from bootstrap.planning.machines import Standing, machine_of, standings
from bootstrap.planning.placement import Placement, clones_full, place
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan, PlannedMachine, VmPlace
from bootstrap.planning.preflight import check_bridges, check_pod_ranges, check_storages
from bootstrap.planning.steps import (
    AwaitGuest,
    AwaitReady,
    CloneVm,
    ConfigureVm,
    FetchK3s,
    InitServer,
    JoinAgent,
    JoinServer,
    PrepareGuest,
    StartVm,
    Step,
    WriteKubeconfig,
)
from bootstrap.planning.templates import usable_templates

API_REACHABLE = Gate("api_reachable")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def needs_work(standing: Standing) -> str:
    """Why `up` has to do something about a machine, or an empty text."""
    vm, kube_node = standing.vm, standing.kube_node
    if vm is None:
        return "has no VM"
    if vm.record is not None and vm.record.state is RecordState.CLONING:
        return "is half-made"
    if not vm.running:
        return "is powered off"
    if kube_node is None:
        return "is not in the cluster"
    if not kube_node.ready:
        return f"is not Ready ({kube_node.problem})" if kube_node.problem else "is not Ready"
    if not _metadata_holds(standing.machine, kube_node):
        return "lacks labels or taints"
    return ""


def _metadata_holds(machine: MachineSpec, kube_node: KubeNode) -> bool:
    return set(machine.labels) <= set(kube_node.labels) and set(machine.taints) <= set(kube_node.taints)


def plan_up(spec: ClusterSpec, observed: Observed, *, version: str) -> Plan:
    """Plan what it takes for the cluster to be as the inventory says.

    Args:
        spec: What is wanted.
        observed: What there is.
        version: The k3s version for machines that join now; unused when nothing is to be done.

    Raises:
        PreflightError: It cannot be done: no template, no room, no vmid or address left.
    """
    all_standings = standings(spec, observed)
    reasons = {standing.machine.name: needs_work(standing) for standing in all_standings}
    work = [standing for standing in all_standings if reasons[standing.machine.name]]
    drift = notes_on_drift(spec, observed, all_standings)
    base = Plan(
        command="up",
        cluster=spec.name,
        machines=(),
        lanes=(),
        notes=drift,
        reserved_vmids=observed.used_vmids | {lock_vmid(spec.placement.vmids)},
        vmids=spec.placement.vmids,
        marked=marker_of(spec.name, observed.vms) is not None,
    )
    if not work:
        return replace(base, machines=tuple(_kept(standing) for standing in all_standings))
    _check_datastore(spec, observed)
    making = _Making.of(spec, observed, all_standings)
    check_lock_place(spec, observed.vms)
    planned = tuple(
        making.planned(standing, reasons[standing.machine.name]) if reasons[standing.machine.name] else _kept(standing)
        for standing in all_standings
    )
    lanes = (*_shared_lanes(spec, making, work, version), *_machine_lanes(spec, making, work, version))
    notes = (*making.notes, *drift)
    reserved = base.reserved_vmids | {machine.place.vmid for machine in planned}
    return replace(base, machines=planned, lanes=lanes, notes=notes, reserved_vmids=reserved)


def _check_datastore(spec: ClusterSpec, observed: Observed) -> None:
    """Refuse to add servers to a sqlite cluster; k3s wants a migration for that."""
    servers = [kube_node for kube_node in observed.kube_nodes or () if "control-plane" in kube_node.roles]
    if spec.control_plane.count > len(servers) and servers and not any("etcd" in server.roles for server in servers):
        raise PreflightError(
            f"{spec.name} has one server with sqlite: further servers cannot join it",
            details=f"{spec.control_plane.count} servers wanted",
            resolution="keep control_plane.count at 1, or build the cluster again with 3 from the start: down, then up",
        )


def _kept(standing: Standing) -> PlannedMachine:
    if standing.vm is None:  # cannot be: a machine without VM needs work
        raise AssertionError(standing)
    place_of = VmPlace(
        machine=standing.machine.name,
        pve_node=standing.vm.pve_node,
        vmid=standing.vm.vmid,
        smbios_uuid=standing.vm.smbios_uuid,
    )
    return PlannedMachine(spec=standing.machine, place=place_of, action="keep", reason="")


@dataclass(frozen=True, kw_only=True)
class _Making:
    """What machines are made of: templates, places, vmids and CPU types, chosen once for the whole plan."""

    spec: ClusterSpec
    observed: Observed
    templates: Mapping[PveNodeName, TemplateFacts]
    placement: Placement
    vmids: Mapping[MachineName, Vmid]
    cpu_type: str
    notes: tuple[str, ...]

    @classmethod
    def of(cls, spec: ClusterSpec, observed: Observed, all_standings: Sequence[Standing]) -> _Making:
        new = [standing.machine for standing in all_standings if standing.vm is None]
        existing = [standing.vm for standing in all_standings if standing.vm is not None]
        unconfigured = any(vm.record and vm.record.state is RecordState.CLONING for vm in existing)
        templates = usable_templates(spec, observed) if new or unconfigured else {}
        check_pod_ranges(spec, len(all_standings))
        check_storages(spec, observed, templates)
        placement = place(spec, observed, new=new, existing=existing, templates=templates)
        check_bridges(spec, observed, templates, placement.of.values())
        used = set(templates) | {vm.pve_node for vm in existing}
        facts = [pve_node for pve_node in observed.pve_nodes if pve_node.name in used]
        return cls(
            spec=spec,
            observed=observed,
            templates=templates,
            placement=placement,
            vmids=_choose_vmids(spec, observed, new),
            cpu_type=common_cpu_type(facts),
            notes=(*placement.notes, *_full_clone_notes(spec, set(placement.of.values()), templates)),
        )

    def machine(self, machine: MachineSpec) -> MachineSpec:
        """The machine with its CPU type chosen."""
        return replace(machine, cpu_type=machine.cpu_type or self.cpu_type)

    def place(self, standing: Standing) -> VmPlace:
        name = standing.machine.name
        if standing.vm is None:
            return VmPlace(machine=name, pve_node=self.placement.of[name], vmid=self.vmids[name])
        vm = standing.vm
        return VmPlace(machine=name, pve_node=vm.pve_node, vmid=vm.vmid, smbios_uuid=vm.smbios_uuid)

    def planned(self, standing: Standing, reason: str) -> PlannedMachine:
        half_made = standing.vm and standing.vm.record and standing.vm.record.state is RecordState.CLONING
        action = "create" if standing.vm is None else "continue" if half_made else "repair"
        return PlannedMachine(
            spec=self.machine(standing.machine), place=self.place(standing), action=action, reason=reason
        )

    def architecture(self, pve_node: PveNodeName) -> str:
        facts = next((facts for facts in self.observed.pve_nodes if facts.name == pve_node), None)
        return ARCHITECTURES.get(facts.architecture if facts else "x86_64", "amd64")


def _full_clone_notes(
    spec: ClusterSpec, used: set[PveNodeName], templates: Mapping[PveNodeName, TemplateFacts]
) -> tuple[str, ...]:
    return tuple(
        f"{name}: full clones, since linked ones of template {templates[name].name} cannot be made "
        f"on storage {templates[name].storage}"
        for name in sorted(used)
        if clones_full(spec, templates[name]) and not templates[name].linkable
    )


def _choose_vmids(spec: ClusterSpec, observed: Observed, new: Sequence[MachineSpec]) -> Mapping[MachineName, Vmid]:
    vmids = spec.placement.vmids
    free = (Vmid(n) for n in machine_vmids(vmids) if n not in observed.used_vmids)
    chosen: dict[MachineName, Vmid] = {}
    for machine in new:
        vmid = next(free, None)
        if vmid is None:
            raise PreflightError(
                f"the vmid range {vmids.first}-{vmids.last} is used up: none is left for {machine.name}",
                details=f"{len(new)} needed, {len(chosen)} free ({vmids.last} is kept to mark who works on the "
                "cluster); nothing was created",
                resolution="widen proxmox.vmids in the inventory, or remove VMs from that range",
            )
        chosen[machine.name] = vmid
    return chosen


def _shared_lanes(spec: ClusterSpec, making: _Making, work: Sequence[Standing], version: str) -> tuple[Lane, ...]:
    """The lanes that are no machine's: fetching k3s for each architecture, and the kubeconfig."""
    architectures = sorted({making.architecture(making.place(standing).pve_node) for standing in work})
    fetches = tuple(
        LaneStep(step=FetchK3s(version=version, arch=arch), opens=(Gate("k3s_fetched", arch),))
        for arch in architectures
    )
    kubeconfig = LaneStep(step=WriteKubeconfig(cluster=spec.name), needs=(API_REACHABLE,))
    return (Lane(name="k3s", steps=fetches), Lane(name="kubeconfig", steps=(kubeconfig,)))


def _machine_lanes(spec: ClusterSpec, making: _Making, work: Sequence[Standing], version: str) -> tuple[Lane, ...]:
    healthy = _healthy_server(spec, making.observed)
    primary = None if healthy else _primary_server(work)
    lanes = []
    if healthy is not None:
        lacking = next((standing for standing in work if standing.machine.name == healthy.name), None)
        lanes.append(
            _access_lane(
                spec, making.machine(lacking.machine) if lacking else healthy, needs_metadata=lacking is not None
            )
        )
    previous: Gate | None = None
    for standing in work:
        if healthy is not None and standing.machine.name == healthy.name:
            continue
        is_primary = standing is primary
        lanes.append(_lane(spec, making, standing, version, is_primary=is_primary, after=previous))
        if standing.machine.role is Role.CONTROL_PLANE and not is_primary:
            previous = Gate("server_joined", standing.machine.name)
    return tuple(lanes)


def _primary_server(work: Sequence[Standing]) -> Standing | None:
    """The server the others join through while no API answers.

    The first that has a VM already, since it may hold the cluster's data; on an empty field the first.
    """
    candidates = [standing for standing in work if standing.machine.role is Role.CONTROL_PLANE]
    with_vm = [standing for standing in candidates if _was_made(standing)]
    return next(iter(with_vm or candidates), None)


def _was_made(standing: Standing) -> bool:
    record = standing.vm.record if standing.vm else None
    return record is not None and record.state is RecordState.MADE


def _healthy_server(spec: ClusterSpec, observed: Observed) -> MachineSpec | None:
    """The first server that is Ready and whose VM is there: the API answers, so the others join through it."""
    ready = {
        kube_node.name
        for kube_node in observed.kube_nodes or ()
        if kube_node.ready and "control-plane" in kube_node.roles
    }
    machines = {
        vm.record.machine: machine_of(vm, vm.record)
        for vm in observed.vms
        if vm.record and vm.running and is_ours(vm, spec.name)
    }
    name = min(ready & machines.keys(), default=None)
    return machines[name] if name else None


def _access_lane(spec: ClusterSpec, machine: MachineSpec, *, needs_metadata: bool) -> Lane:
    """A healthy server is only looked at: its address, token and kubeconfig are what others join with."""
    steps = [
        LaneStep(step=AwaitGuest(machine=machine.name)),
        LaneStep(step=InitServer(machine=machine, etcd=spec.control_plane.count > 1), opens=(API_REACHABLE,)),
    ]
    if needs_metadata:
        steps.append(LaneStep(step=AwaitReady(machine=machine), needs=(API_REACHABLE,)))
    return Lane(name=machine.name, steps=tuple(steps))


def _lane(
    spec: ClusterSpec, making: _Making, standing: Standing, version: str, *, is_primary: bool, after: Gate | None
) -> Lane:
    machine = making.machine(standing.machine)
    place_of = making.place(standing)
    ready = LaneStep(step=AwaitReady(machine=machine), needs=(API_REACHABLE,))
    if standing.vm is not None and standing.kube_node is not None and needs_work(standing).startswith("lacks"):
        return Lane(name=machine.name, steps=(ready,))
    fetched = Gate("k3s_fetched", making.architecture(place_of.pve_node))
    steps = [LaneStep(step=step) for step in _vm_steps(spec, making, standing, machine, place_of)]
    steps += [
        LaneStep(step=AwaitGuest(machine=machine.name)),
        LaneStep(step=PrepareGuest(machine=machine.name, version=version), needs=(fetched,)),
        _join(spec, machine, is_primary=is_primary, after=after),
        ready,
    ]
    return Lane(name=machine.name, steps=tuple(steps))


def _vm_steps(
    spec: ClusterSpec, making: _Making, standing: Standing, machine: MachineSpec, place_of: VmPlace
) -> tuple[Step, ...]:
    """The steps until the VM is powered on; a VM that is configured is only started, a running one left."""
    start = StartVm(machine=machine.name)
    if standing.vm is not None and _was_made(standing):
        return () if standing.vm.running else (start,)
    template = making.templates.get(place_of.pve_node)
    if template is None:
        raise PreflightError(
            f"{machine.name} is half-made on {place_of.pve_node}, where there is no usable template any more",
            resolution="bring the template back, or remove the cluster's machines with `homelab-k8s down`",
        )
    full = clones_full(spec, template)
    storage = spec.placement.storage if full else None
    clone = CloneVm(
        machine=machine,
        template=template.vmid,
        pve_node=place_of.pve_node,
        vmid=place_of.vmid,
        full=full,
        storage=storage,
        locks=_lock_name(making.observed, place_of.pve_node, storage or template.storage),
        resource_pool=spec.placement.resource_pool,
    )
    disk = template.disk or ""
    return (clone, ConfigureVm(machine=machine, disk=disk, scsi_controller=template.scsi_controller), start)


def _lock_name(observed: Observed, pve_node: PveNodeName, storage: StorageName | None) -> str:
    """What a storage's lock is told by: of a shared one there is one in the Proxmox cluster, else one on each node."""
    facts = next((facts for facts in observed.pve_nodes if facts.name == pve_node), None)
    shared = facts is not None and any(seen.shared for seen in facts.storages if seen.name == storage)
    return f"{storage}" if shared else f"{pve_node}/{storage or 'its storage'}"


def _join(spec: ClusterSpec, machine: MachineSpec, *, is_primary: bool, after: Gate | None) -> LaneStep:
    if is_primary:
        return LaneStep(step=InitServer(machine=machine, etcd=spec.control_plane.count > 1), opens=(API_REACHABLE,))
    if machine.role is Role.WORKER:
        return LaneStep(step=JoinAgent(machine=machine), needs=(API_REACHABLE,))
    # One etcd learner at a time: two servers joining at once fail with "too many learner members" (k3s.md).
    needs = (API_REACHABLE,) if after is None else (API_REACHABLE, after)
    return LaneStep(step=JoinServer(machine=machine), needs=needs, opens=(Gate("server_joined", machine.name),))

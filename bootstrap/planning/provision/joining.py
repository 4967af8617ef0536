"""The lanes by which machines join a cluster, and the gates that other lanes wait for. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PveNodeName, StorageName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import Observed, TemplateFacts
from bootstrap.model.settings.system import HookTime
from bootstrap.planning.capacity.placement import ContainerBase, clones_full
from bootstrap.planning.members.desired_machines import MachineState, Need
from bootstrap.planning.plan import Gate, Lane, LaneStep, VmPlace
from bootstrap.planning.provision.allocation import Allocation
from bootstrap.planning.settings.system import hook_step, prepare_step
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
from bootstrap.planning.templates.templates import matching_templates
from bootstrap.proxmox.networks import bridge_of

API_REACHABLE = Gate("api_reachable")
KUBECONFIG = Gate("kubeconfig_written")


def fetched(version: str, arch: str) -> Gate:
    """Open once a k3s release is here."""
    return Gate("k3s_fetched", f"{version}/{arch}")


def met(name: MachineName) -> Gate:
    """Open once a machine is logged in to."""
    return Gate("guest_known", name)


def joined(name: MachineName) -> Gate:
    """Open once a server has joined."""
    return Gate("server_joined", name)


def ready(name: MachineName) -> Gate:
    """Open once a machine is Ready."""
    return Gate("ready", name)


def met_step(name: MachineName) -> LaneStep:
    """The login that other lanes wait for."""
    return LaneStep(step=AwaitGuest(machine=name), opens=(met(name),))


def ready_step(machine: MachineSpec, *, needs: tuple[Gate, ...] = ()) -> LaneStep:
    """The end of a machine's lane."""
    return LaneStep(step=AwaitReady(machine=machine), needs=needs, opens=(ready(machine.name),))


def fetch_step(version: str, arch: str) -> LaneStep:
    """Have a k3s release here."""
    return LaneStep(step=FetchK3s(version=version, arch=arch), opens=(fetched(version, arch),))


def kubeconfig_lane(spec: ClusterSpec, *, after: tuple[Gate, ...] = ()) -> Lane:
    """Have the kubeconfig written once the API is reachable; `after`: and once what else it names is there."""
    step = WriteKubeconfig(cluster=spec.name)
    return Lane.of("kubeconfig", LaneStep(step=step, needs=(API_REACHABLE, *after), opens=(KUBECONFIG,)))


def join_lane(
    allocation: Allocation,
    machine_state: MachineState,
    version: str,
    *,
    init: tuple[LaneStep, ...] | None = None,
    needs: tuple[Gate, ...] = (API_REACHABLE,),
    begins: tuple[Gate, ...] = (),
) -> Lane:
    """A machine's lane from its present state to Ready.

    Args:
        allocation: What new machines get.
        machine_state: Its present state.
        version: The k3s version it gets.
        init: For the server that all others join through: the steps instead of a join.
        needs: Gates before it joins.
        begins: Gates before its first step.
    """
    machine, place = allocation.machine(machine_state.machine), allocation.place(machine_state)
    last = ready_step(machine, needs=(API_REACHABLE,))
    if machine_state.need is Need.LABELS:
        return Lane.of(machine.name, last)
    prepare = LaneStep(
        step=PrepareGuest(machine=machine.name, version=version),
        needs=(fetched(version, allocation.view.observed.k3s_arch(place.pve_node)),),
    )
    begin: list[Step] = [*_vm_steps(allocation, machine_state, machine, place), AwaitGuest(machine=machine.name)]
    spec = allocation.view.spec
    begin += (*prepare_step(spec, machine), *hook_step(spec, machine, HookTime.BEFORE_K3S, version))
    first, *further = begin
    join = init if init is not None else (_join(machine, needs),)
    after = hook_step(spec, machine, HookTime.AFTER_READY, version)
    return Lane.of(machine.name, LaneStep(step=first, needs=begins), *further, prepare, *join, last, *after)


def _join(machine: MachineSpec, needs: tuple[Gate, ...]) -> LaneStep:
    if machine.role is Role.WORKER:
        return LaneStep(step=JoinAgent(machine=machine), needs=needs)
    return LaneStep(step=JoinServer(machine=machine), needs=needs, opens=(joined(machine.name),))


def init_step(spec: ClusterSpec, machine: MachineSpec, *, serves: bool = False) -> LaneStep:
    """Have the server that others join through serve; one that `serves` already is only read."""
    step = InitServer(machine=machine, etcd=spec.control_plane.count > 1, serves=serves)
    return LaneStep(step=step, opens=(API_REACHABLE,))


def access_lane(spec: ClusterSpec, machine: MachineSpec, *further: Step | LaneStep) -> Lane:
    """The lane of a healthy server: it is read for its address, token and kubeconfig, with which others join."""
    return Lane.of(machine.name, AwaitGuest(machine=machine.name), init_step(spec, machine, serves=True), *further)


def _vm_steps(
    allocation: Allocation, machine_state: MachineState, machine: MachineSpec, place: VmPlace
) -> Iterator[Step]:
    """The steps until the VM runs: one that has been configured is only started or resumed."""
    if not machine_state.made:
        source = allocation.sources.of(machine, place.pve_node)
        if source is None:
            raise PreflightError(
                f"{machine.name}: VM creation was interrupted on {place.pve_node}, which has no usable template any "
                "more",
                resolution=Advice("restore the template, or remove the cluster's machines with `homelab-k8s down`"),
            )
        if isinstance(source, ContainerBase):
            yield _container_step(allocation, machine, place, source)
        else:
            yield from _clone_steps(allocation, machine, place, source)
    if not machine_state.made or (machine_state.vm is not None and machine_state.vm.idle):
        yield StartVm(machine=machine.name)


def _clone_steps(
    allocation: Allocation, machine: MachineSpec, place: VmPlace, template: TemplateFacts
) -> Iterator[Step]:
    placement = allocation.view.spec.placement
    full = clones_full(allocation.view.spec, template)
    storage = (machine.storage or placement.storage) if full else None
    yield CloneVm(
        machine=machine,
        template=template.vmid,
        template_pve_node=template.pve_node,
        pve_node=place.pve_node,
        vmid=place.vmid,
        full=full,
        storage=storage,
        locks=_lock_name(allocation.view.observed, place.pve_node, storage or template.storage),
        resource_pool=placement.resource_pool,
        after_build=template.planned,
    )
    yield ConfigureVm(
        machine=machine,
        disk=template.disk or "",
        scsi_controller=template.scsi_controller,
        template_tags=tuple(sorted(template.tags)),
    )


def _container_step(
    allocation: Allocation, machine: MachineSpec, place: VmPlace, base: ContainerBase
) -> CreateContainer:
    return CreateContainer(
        machine=machine,
        pve_node=place.pve_node,
        vmid=place.vmid,
        ostemplate=base.ostemplate,
        storage=base.storage,
        bridge=bridge_of(allocation.view.spec, _template_on(allocation, place.pve_node), machine),
        locks=_lock_name(allocation.view.observed, place.pve_node, base.storage),
        resource_pool=allocation.view.spec.placement.resource_pool,
    )


def _template_on(allocation: Allocation, pve_node: PveNodeName) -> TemplateFacts | None:
    """The VM template on a Proxmox node: where no bridge is named, containers are on the same one as VMs."""
    seen = [template for template in matching_templates(allocation.view) if template.pve_node == pve_node]
    return max(seen, key=lambda template: template.vmid, default=None)


def _lock_name(observed: Observed, pve_node: PveNodeName, storage: StorageName | None) -> str:
    """Names a storage's lock: a shared storage has one in the Proxmox cluster, any other one on each Proxmox node."""
    facts = next((facts for facts in observed.pve_nodes if facts.name == pve_node), None)
    shared = facts is not None and any(seen.shared for seen in facts.storages if seen.name == storage)
    return f"{storage}" if shared else f"{pve_node}/{storage or 'its storage'}"

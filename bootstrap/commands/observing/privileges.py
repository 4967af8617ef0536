"""Whether the API token may do what a command is about to do: asked before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import islice

from bootstrap.errors import PermissionDeniedError, PreflightError
from bootstrap.model.access.rights import MissingPrivileges, RightsNeeded
from bootstrap.model.cluster import ClusterSpec, HostKeyPolicy
from bootstrap.model.ids import StorageName, Vmid
from bootstrap.model.machine import MachineKind, NodePool
from bootstrap.model.observed import CUSTOM_MODEL, OWNER_TAG, Observed, TemplateFacts, VmRecord
from bootstrap.model.words import count
from bootstrap.planning.capacity.placement import ContainerBase, clones_full
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.proxmox.networks import vlan_of
from bootstrap.records.vms.lock import lock_vmid, machine_vmids
from bootstrap.records.vms.machine import is_ours


def check_rights(ports: Ports, rights: RightsNeeded, *, what: str) -> None:
    """Refuse a token whose missing rights would make the command fail halfway.

    Raises:
        PreflightError: With the commands that give the token what it lacks; or the resource pool is missing.
    """
    if rights.resource_pool is not None and not ports.hypervisor.has_resource_pool(rights.resource_pool):
        raise PreflightError(
            missing_pool(rights.resource_pool),
            details="every machine is to join it (proxmox.pool in the inventory)",
            resolution=pool_remedy(rights.resource_pool),
        )
    try:
        missing = ports.hypervisor.missing_privileges(rights)
    except PermissionDeniedError:
        return  # a token that may not read its own privileges: the step that lacks one reports it
    if missing:
        raise PreflightError(
            f"the API token lacks privileges that {what} needs, on {count(len(missing), 'path')}",
            details="\n".join(map(str, missing)),
            resolution="as root on a Proxmox node:\n" + "\n".join(lack.remedy for lack in missing),
        )


def missing_pool(name: str) -> str:
    """That a resource pool is missing."""
    return f"there is no resource pool {name} in Proxmox"


def pool_remedy(name: str) -> str:
    """How to create a resource pool; the token's rights on it are checked once it exists."""
    return f"as root on a Proxmox node:\npveum pool add {name}\nor name an existing pool as proxmox.pool"


def check_sight(spec: ClusterSpec, ports: Ports, vms: Iterable[VmRecord]) -> None:
    """Refuse to go on where the token may not see VMs: the cluster would seem not to exist. Raises PreflightError."""
    lack = unseen_vms(spec, ports, vms)
    if lack is not None:
        raise PreflightError(
            f"this token may not see VMs, so it is unknown whether {spec.name} exists; nothing was changed",
            details=str(lack),
            resolution=f"as root on a Proxmox node:\n{lack.remedy}",
        )


def unseen_vms(spec: ClusterSpec, ports: Ports, vms: Iterable[VmRecord]) -> MissingPrivileges | None:
    """The missing privilege that hides VMs, if none of the cluster's is seen; None if there is no such.

    Proxmox VE's lists are empty for such a token, not refused.
    """
    if any(is_ours(vm, spec.name) for vm in vms):
        return None
    try:
        missing = ports.hypervisor.missing_privileges(RightsNeeded(resource_pool=spec.placement.resource_pool))
    except PermissionDeniedError:
        return None
    return next((lack for lack in missing if hides_vms(lack)), None)


def hides_vms(lack: MissingPrivileges) -> bool:
    """Whether a missing privilege hides VMs from the token."""
    return "VM.Audit" in lack.privileges and lack.path.startswith(("/vms", "/pool"))


def rights_needed(
    spec: ClusterSpec,
    templates: tuple[TemplateFacts, ...],
    observed: Observed,
    bases: Collection[ContainerBase] = (),
) -> RightsNeeded:
    """What the token needs rights for, to clone `templates` and to make containers of `bases`."""
    return RightsNeeded(
        templates=tuple(_as_cloned(spec, template) for template in templates),
        storages=tuple(sorted({*_storages(spec, templates), *(base.storage for base in bases)})),
        mappings=tuple(sorted({name for pool in spec.pools for name in pool.hardware.mappings})),
        cpu_models=tuple(sorted(_cpu_models(spec))),
        bridges=tuple(sorted({*_networks(spec, templates)})),
        vnets=observed.vnets,
        resource_pool=spec.placement.resource_pool,
        reads_guest_files=spec.ssh.host_keys is HostKeyPolicy.AGENT,
        ostemplate_storages=tuple(sorted({StorageName(base.ostemplate.partition(":")[0]) for base in bases})),
        vmids=new_vmids(spec, observed),
        own_vmids=tuple(sorted(vm.vmid for vm in ClusterView(spec, observed).vms)),
        tags=tuple(sorted({OWNER_TAG, spec.name, *spec.tags, *(tag for pool in spec.pools for tag in pool.tags)})),
    )


def new_vmids(spec: ClusterSpec, observed: Observed) -> tuple[Vmid, ...]:
    """The vmids that new machines will probably get, and the marker's."""
    vmids = spec.placement.vmids
    there = len(ClusterView(spec, observed).vms)
    missing = max(1, sum(pool.count for pool in spec.pools) - there)
    free = (Vmid(number) for number in machine_vmids(vmids) if number not in observed.used_vmids)
    return (*islice(free, missing), lock_vmid(vmids))


def _as_cloned(spec: ClusterSpec, template: TemplateFacts) -> TemplateFacts:
    """The template, without the storages of its disks where no clone is put there."""
    targets = [pool.storage or spec.placement.storage for pool in _vm_pools(spec)]
    if not clones_full(spec, template) or not all(targets):
        return template
    return replace(template, storage=None, disk_storages=frozenset())


def _storages(spec: ClusterSpec, templates: Collection[TemplateFacts]) -> Iterator[StorageName]:
    """Where full clones and data disks go."""
    full = not templates or any(clones_full(spec, template) for template in templates)
    for pool in _vm_pools(spec):
        named = pool.storage or spec.placement.storage
        if full and named is not None:
            yield named
        if pool.hardware.data_disk is not None:
            own = pool.hardware.data_disk.storage or named
            yield from [own] if own is not None else _own_storages(templates)


def _own_storages(templates: Iterable[TemplateFacts]) -> set[StorageName]:
    return {template.storage for template in templates if template.storage is not None}


def _networks(spec: ClusterSpec, templates: Collection[TemplateFacts]) -> Iterator[str]:
    """Bridges of machines' network devices, with their VLAN tags; without a template, those in the inventory."""
    for pool in spec.pools:
        named = pool.network.bridge or spec.network.bridge
        bridges = {named} if named else {template.bridge for template in templates}
        yield from (with_tag(bridge, vlan_of(spec, pool)) for bridge in bridges if bridge)
    if spec.network.storage is not None:
        yield with_tag(spec.network.storage.bridge, spec.network.storage.vlan)


def with_tag(bridge: str, vlan: int | None) -> str:
    """How `RightsNeeded` names a bridge with a VLAN tag."""
    return bridge if vlan is None else f"{bridge}/{vlan}"


def _cpu_models(spec: ClusterSpec) -> Iterator[str]:
    for pool in _vm_pools(spec):
        if pool.cpu_type is not None and pool.cpu_type.startswith(CUSTOM_MODEL):
            yield pool.cpu_type.removeprefix(CUSTOM_MODEL)


def _vm_pools(spec: ClusterSpec) -> Iterator[NodePool]:
    return (pool for pool in spec.pools if pool.kind is MachineKind.VM)

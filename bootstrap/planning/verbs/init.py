"""Proposes a cluster that fits a Proxmox VE, each choice with its reason. Pure.

Whether a size fits is not computed here: it is tried with the plan that `up` would make.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bootstrap.errors import CapacityError, PreflightError
from bootstrap.model.cluster import DEFAULT_IMAGE, ClusterSpec, NetworkSpec, PlacementSpec, TemplateRef, VmidRange
from bootstrap.model.ids import ClusterName, PoolName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, NodePool, Role
from bootstrap.model.observed import Observed, TemplateFacts
from bootstrap.model.words import count
from bootstrap.planning.capacity.sizing import Capacity
from bootstrap.planning.checks.preflight import bridge_problem
from bootstrap.planning.templates.discovery import (
    common_bridges,
    common_storages,
    free_vmids,
    template_choices,
    with_stand_ins,
)
from bootstrap.planning.templates.planned import check_planned, with_planned
from bootstrap.planning.templates.templates import usable_templates
from bootstrap.planning.verbs.up import plan_up
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.networks import bridge_of
from bootstrap.records.vms.machine import is_ours

MEMORY_MIB = ((4096, 8192), (4096, 4096), (2048, 4096), (2048, 2048), (2048, 1024))
"""RAM of a server and of a worker, the best first. A k3s server wants 2 GiB, an agent 512 MiB (k3s's requirements)."""
COMFORT = 0.75
"""Share of the free memory that a proposal takes where a smaller size fits: room for another machine is left."""
_UNKNOWN = "The Proxmox nodes' capacity is unknown: the token lacks Sys.Audit. These are the smallest sizes."
CORES = 2
DISK_GIB = 20
WORKERS = 3


@dataclass(frozen=True, kw_only=True)
class InitOptions:
    """What the user has decided already; what is None gets a proposal."""

    cluster: ClusterName
    control_planes: int | None = None
    workers: int | None = None
    template: TemplateRef | None = None
    storage: StorageName | None = None
    bridge: str | None = None
    resource_pool: str | None = None


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A cluster, with remarks and problems.

    Attributes:
        remarks: Reasons by the inventory's key, as `bootstrap.inventory.write` takes them.
        problems: What `up` would refuse, as things are now.
    """

    spec: ClusterSpec
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def propose(observed: Observed, options: InitOptions) -> Proposal:
    """The cluster to propose; what the user has decided is taken as it is, whether or not it fits."""
    template, about_template = _template(observed, options)
    machines = [vm.vmid for vm in observed.vms if is_ours(vm, options.cluster)]
    vmids = free_vmids(observed.used_vmids, own=machines)
    bare = ClusterSpec(
        name=options.cluster,
        template=template,
        control_plane=_pool(CONTROL_PLANE_POOL, Role.CONTROL_PLANE, options.control_planes or 1),
        placement=PlacementSpec(storage=options.storage, resource_pool=options.resource_pool, vmids=vmids),
        network=NetworkSpec(bridge=options.bridge),
    )
    here = _usable(bare, observed)
    placed, about_storage = _with_storage(bare, observed, here)
    linked, about_bridge = _with_bridge(placed, observed, here)
    # Sizes are tried as if each Proxmox node had the template, where it is ours to build or where none has one yet.
    builds = template.image is not None
    stage = (
        with_planned(ClusterView(linked, observed))
        if builds
        else observed
        if here
        else with_stand_ins(ClusterView(linked, observed))
    )
    spec, about_sizes, problems = _sized(linked, stage, options, here.values())
    remarks = {
        "nodes": tuple(_about_pve_nodes(observed, here, builds=builds)),
        "storage": about_storage,
        "vmids": _about_vmids(vmids, machines),
        "template": about_template,
        "bridge": about_bridge,
        "control_plane": about_sizes,
        "workers": (),
    }
    missing = () if here or builds else (_no_template(observed, template),)
    unbuilt = _unbuilt(spec, stage) if builds and not here else ()
    return Proposal(spec=spec, remarks=remarks, problems=(*missing, *unbuilt, *problems))


def _unbuilt(spec: ClusterSpec, foreseen: Observed) -> tuple[str, ...]:
    """Why the template cannot be built."""
    try:
        check_planned(spec, foreseen)
    except PreflightError as error:
        return (f"{error.brief}\n{error.resolution}",)
    return ()


def _usable(spec: ClusterSpec, observed: Observed) -> Mapping[PveNodeName, TemplateFacts]:
    try:
        return usable_templates(ClusterView(spec, observed))
    except PreflightError:
        return {}


def _template(observed: Observed, options: InitOptions) -> tuple[TemplateRef, tuple[str, ...]]:
    naming = "A plain word is a template's name; {image: ...}, {tag: ...} and {vmid: ...} work too."
    if options.template is not None:
        return options.template, (naming,)
    choices = template_choices(observed)
    usable = [choice for choice in choices if not choice.problem]
    if not usable:
        found = "No usable one was found" if choices else "None was found"
        return TemplateRef(image=DEFAULT_IMAGE), (
            f"{found}: `up` builds one from this cloud image, with k3s preinstalled (it asks first).",
        )
    others = ", ".join(str(choice.ref) for choice in usable[1:])
    return usable[0].ref, (f"{naming} Also here: {others}." if others else naming,)


def _no_template(observed: Observed, template: TemplateRef) -> str:
    if not observed.templates:
        return "this token sees no template"
    return f"no usable template matches {template}"


def _with_storage(
    spec: ClusterSpec, observed: Observed, here: Mapping[PveNodeName, TemplateFacts]
) -> tuple[ClusterSpec, tuple[str, ...]]:
    if spec.placement.storage is not None:
        return spec, ("For full clones and new disks; linked clones stay on their template's.",)
    if not here:
        return spec, ()
    if all(template.linkable for template in here.values()):
        where = ", ".join(sorted({template.storage or "its own" for template in here.values()}))
        return spec, (f"Disks are linked clones and stay on their template's storage ({where}).",)
    common = common_storages(each for each in observed.pve_nodes if each.name in here)
    if not common:
        return spec, ("Disks are full clones on the template's storage; no other storage on all nodes accepts them.",)
    best = max(common, key=lambda storage: storage.free_gib).name
    said = f"The template allows no linked clones; of the storages that all its nodes have {best} has most free space."
    return replace(spec, placement=replace(spec.placement, storage=best)), (said,)


def _with_bridge(
    spec: ClusterSpec, observed: Observed, here: Mapping[PveNodeName, TemplateFacts]
) -> tuple[ClusterSpec, tuple[str, ...]]:
    if spec.network.bridge is not None:
        return spec, ("The machines' bridge, instead of the template's.",)
    if not here:
        return spec, ("Addresses by DHCP, on the template's bridge.",)
    facts = [each for each in observed.pve_nodes if each.name in here]
    bridges = common_bridges(facts)
    wrong = [problem for each in facts if (problem := bridge_problem(each, bridge_of(spec, here[each.name])))]
    if wrong and bridges:
        said = f"Not the template's: {'; '.join(wrong)}."
        return replace(spec, network=replace(spec.network, bridge=bridges[0])), (said,)
    own = ", ".join(sorted({bridge_of(spec, template) for template in here.values()}))
    return spec, (f"Addresses by DHCP, on the template's bridge ({own}).",)


def _sized(
    spec: ClusterSpec, stage: Observed, options: InitOptions, templates: Collection[TemplateFacts]
) -> tuple[ClusterSpec, tuple[str, ...], tuple[str, ...]]:
    """The spec with the sizes to propose, what to say of them, and why they do not fit."""
    capacities = [Capacity.of(facts, spec.sizing) for facts in stage.pve_nodes if facts.takes_machines]
    counts = (options.workers,) if options.workers is not None else range(WORKERS, -1, -1)
    tried = [list(_sizes(spec, workers, capacities, templates)) for workers in counts]
    for sizes in tried:
        fitting = [each for each in sizes if not _refusal(each, stage)]
        if fitting:  # fewer workers are proposed only where more do not fit
            return _chosen(fitting, capacities)
    smallest = tried[-1][-1]
    return smallest, (_why_none(capacities),), (_refusal(smallest, stage),)


def _why_none(capacities: Sequence[Capacity]) -> str:
    known = not capacities or any(capacity.is_known for capacity in capacities)
    return "Even the smallest sizes do not fit now." if known else _UNKNOWN


def _sizes(
    spec: ClusterSpec, workers: int, capacities: Sequence[Capacity], templates: Collection[TemplateFacts]
) -> Iterator[ClusterSpec]:
    """The spec with each size of machines, the best first; disks are at least as large as the template's."""
    cores = min(CORES, max((capacity.cores for capacity in capacities), default=0) or CORES)
    disk_gib = max((DISK_GIB, *(template.disk_gib for template in templates)))
    for server_mib, worker_mib in MEMORY_MIB:
        servers = replace(spec.control_plane, cores=cores, memory_mib=server_mib, disk_gib=disk_gib)
        pool = _pool(PoolName("workers"), Role.WORKER, workers)
        pool = replace(pool, cores=cores, memory_mib=worker_mib, disk_gib=disk_gib)
        yield replace(spec, control_plane=servers, workers=(pool,))


def _pool(name: PoolName, role: Role, machines: int) -> NodePool:
    return NodePool(
        name=name,
        role=role,
        count=machines,
        cores=CORES,
        memory_mib=MEMORY_MIB[-1][0],
        disk_gib=DISK_GIB,
        stated=frozenset({"count", "cores", "memory_mib", "disk_gib"}),
    )


def _chosen(
    fitting: Sequence[ClusterSpec], capacities: Sequence[Capacity]
) -> tuple[ClusterSpec, tuple[str, ...], tuple[str, ...]]:
    """The best size that leaves some memory free, else the smallest."""
    free_mib = sum(max(0, capacity.free_memory_mib) for capacity in capacities)
    chosen = next((each for each in fitting if _memory_mib(each) <= COMFORT * free_mib), fitting[-1])
    said = (
        f"Memory: {_gib(_memory_mib(chosen))} of the {_gib(free_mib)} that are free for guests, on "
        f"{count(len(capacities), 'Proxmox node')}. The number of servers is odd; 3 survive the loss of one."
    )
    return chosen, (said,), ()


def _refusal(spec: ClusterSpec, stage: Observed) -> str:
    """Why `up` would not do it; empty where it would."""
    try:
        plan_up(ClusterView(spec, stage), version="")
    except CapacityError as error:
        return f"{error.brief}\n{error.details}"
    except PreflightError as error:
        return str(error)
    return ""


def _memory_mib(spec: ClusterSpec) -> int:
    return sum(pool.count * pool.memory_mib for pool in spec.pools)


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f}".removesuffix(".0") + " GiB"


def _about_pve_nodes(observed: Observed, here: Collection[PveNodeName], *, builds: bool) -> Iterator[str]:
    online = sorted(facts.name for facts in observed.pve_nodes if facts.takes_machines)
    without = ", ".join(name for name in online if name not in here)
    if here:
        first, later = ("rather ", " until a machine is placed there") if builds and without else ("", "")
        yield f"Machines are placed {first}on the Proxmox nodes that have the template ({', '.join(sorted(here))})."
        if without:
            yield f"Without it{later}: {without}."
    if len(online) > 1:
        yield f"To use only some of them: nodes: [{', '.join(online)}]"


def _about_vmids(vmids: VmidRange, machines: Collection[Vmid]) -> tuple[str, ...]:
    if machines:
        return (f"The cluster has {count(len(machines), 'machine')} already; their vmids are in this range.",)
    return (f"None of these is in use. The last, {vmids.last}, is reserved for the marker VM of a running command.",)

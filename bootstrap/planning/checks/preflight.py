"""What new machines need on a Proxmox node besides room: an active storage for images, and their bridge. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network

from bootstrap.advice import joined
from bootstrap.errors import PreflightError
from bootstrap.k3s.dual_stack import NODE_PREFIX, NODE_PREFIX6, cluster_networks
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PveNodeName, StorageName
from bootstrap.model.machine import MachineShape, MachineSpec, NodePool
from bootstrap.model.observed import Observed, PveNodeFacts, StorageFacts, TemplateFacts
from bootstrap.planning.capacity.placement import clones_full, needs_shared, not_shared
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.disks_and_devices import check_disk_options, data_storage
from bootstrap.proxmox.networks import bridge_of, vlan_of

STORAGE_REMEDY = (
    "check it with `pvesm status` on the Proxmox node; for full clones, proxmox.storage in the inventory can select "
    "a different one"
)
BRIDGE_REMEDY = (
    "create the bridge there, or set an existing one as network.bridge (or in the pool's network) in the inventory; "
    "an SDN vnet is seen only with SDN.Use on /sdn/zones/ZONE/VNET"
)
MTU_REMEDY = (
    "lower the mtu in the inventory (1 uses the bridge's), or raise that of the bridge and its ports in Proxmox"
)
USUAL_MTU = 1500
TAG_REMEDY = "remove vlan: such a vnet has the tag of its zone; or make the vnet VLAN-aware in Proxmox"
QUORUM_REMEDY = (
    "bring the missing Proxmox nodes back (`pvecm status` on one that is up shows the votes), then run the command "
    "again"
)
_NETWORK_BRIEFS = {
    BRIDGE_REMEDY: "the machines' bridge is missing",
    TAG_REMEDY: "the machines' VLAN cannot be used",
    MTU_REMEDY: "the machines' MTU is larger than their bridge's",
}

Templates = Mapping[PveNodeName, TemplateFacts]


def storage_of(spec: ClusterSpec, template: TemplateFacts) -> StorageName | None:
    """Where a machine's disk goes: linked clones stay on the template's storage."""
    if clones_full(spec, template):
        return spec.placement.storage or template.storage
    return template.storage


def storage_on(facts: PveNodeFacts, name: StorageName | None) -> StorageFacts | None:
    """A storage as a Proxmox node sees it, or None."""
    return next((storage for storage in facts.storages if storage.name == name), None)


def storage_problem(storage: StorageFacts | None, *, content: str = "images", what: str = "disk images") -> str:
    """What keeps disks from a storage, room apart, as it reads after its name; empty where nothing does.

    Args:
        storage: The storage, or None where there is none of the name.
        content: The content it must be for, in Proxmox's word.
        what: The same, for the user.
    """
    if storage is None:
        return "does not exist, or this token cannot see it"
    if not storage.active:
        return "is not active"
    if content not in storage.content:
        return f"is not for {what} (its content: {', '.join(sorted(storage.content)) or 'nothing'})"
    return ""


def clone_storage_problem(spec: ClusterSpec, facts: PveNodeFacts, template: TemplateFacts) -> str:
    """What keeps the disks of this template's clones on a Proxmox node from their storage; empty where nothing does."""
    storage = storage_on(facts, storage_of(spec, template))
    problem = storage_problem(storage)
    if not problem and storage is not None and not storage.shared and needs_shared(spec, template, facts.name):
        return not_shared(template)
    return problem


def check_pve_quorum(observed: Observed) -> None:
    """Refuse where the Proxmox cluster has no quorum: every request that changes something would fail.

    Raises:
        PreflightError: Nothing was touched.
    """
    if observed.lost_quorum is not None:
        raise PreflightError(str(observed.lost_quorum), resolution=QUORUM_REMEDY)


def check_hardware(view: ClusterView, templates: Templates) -> None:
    """Refuse disk options that the template's disk cannot have, and data disks that no Proxmox node has a storage for.

    Raises:
        PreflightError: Nothing was touched.
    """
    check_disk_options(view.spec, templates)
    for pool in view.spec.pools:
        if pool.hardware.data_disk is None or not pool.count or not templates:
            continue
        problems = dict(_data_disk_problems(view, pool, templates))
        if problems and all(problems.values()):
            raise PreflightError(
                f"there is no usable storage for the data disks of the pool {pool.name}",
                details="\n".join(problems.values()),
                resolution="check it with `pvesm status` on the Proxmox node, or set a different one as data_disk's "
                "storage",
            )


def _data_disk_problems(view: ClusterView, pool: NodePool, templates: Templates) -> Iterator[tuple[PveNodeName, str]]:
    """What is wrong with the storage of data disks on each Proxmox node that a pool may use; empty for nothing."""
    for facts in _with(templates, view.observed):
        if not pool.pve_nodes or facts.name in pool.pve_nodes:
            name = data_storage(view.spec, pool, template=templates[facts.name].storage)
            problem = storage_problem(storage_on(facts, name))
            yield facts.name, f"{name} of {facts.name} {problem}" if problem else ""


def bridge_problem(facts: PveNodeFacts, bridge: str) -> str:
    """What is wrong with a bridge on a Proxmox node; empty where it is there, or the token may not list them."""
    if not facts.bridges or bridge in facts.bridges:
        return ""
    return f"{facts.name} has no bridge {bridge}; it has {', '.join(sorted(facts.bridges))}"


def tag_problem(facts: PveNodeFacts, bridge: str, vlan: int | None) -> str:
    """What is wrong with a VLAN tag on a bridge; empty where nothing is.

    Proxmox refuses to start a VM with a tag on a vnet that is not VLAN-aware: "vm vlans are not allowed on vnet"
    (PVE::Network::SDN::Zones::Plugin, tap_plug).
    """
    if vlan is None or not any(vnet.name == bridge and not vnet.vlan_aware for vnet in facts.vnets):
        return ""
    return f"{bridge} on {facts.name} is an SDN vnet, which does not accept VLAN tags from machines (vlan: {vlan})"


def mtu_problem(facts: PveNodeFacts, bridge: str, mtu: int | None) -> str:
    """What is wrong with an MTU on a bridge; empty where nothing is, or the bridge's is not stated.

    Proxmox refuses to start a VM with more than its bridge has: "MTU '9000' is bigger than the bridge MTU '1500'"
    (PVE::QemuServer, print_netdevice_full).
    """
    stated = dict(facts.mtus).get(bridge)
    if mtu is None or stated is None or mtu <= stated:
        return ""
    return f"{bridge} on {facts.name} has an MTU of {stated}, but the machines have {mtu}"


def mtu_notes(
    spec: ClusterSpec, places: Iterable[tuple[PveNodeFacts, TemplateFacts | None, MachineShape]]
) -> tuple[str, ...]:
    """That machines' MTU is larger than what bridges have that state none."""
    found = {
        f"{bridge} on {facts.name}": mtu
        for facts, template, of in places
        for bridge, mtu in _mtus(spec, template, of)
        if mtu is not None and mtu > USUAL_MTU and bridge not in dict(facts.mtus)
    }
    return tuple(
        f"{where} states no MTU, so it is {USUAL_MTU} unless all its ports have more: with less than {mtu} the "
        "machines do not start"
        for where, mtu in found.items()
    )


def _mtus(spec: ClusterSpec, template: TemplateFacts | None, of: MachineShape) -> tuple[tuple[str, int | None], ...]:
    """Bridge and MTU of each network device; what a template's has is not known here."""
    storage = spec.network.storage
    return ((bridge_of(spec, template, of), spec.network.mtu), *(((storage.bridge, storage.mtu),) if storage else ()))


def network_problems(
    spec: ClusterSpec, facts: PveNodeFacts, template: TemplateFacts | None, of: MachineShape
) -> tuple[tuple[str, str], ...]:
    """What is wrong with the networks of such a machine on a Proxmox node, each with what to do."""
    storage = spec.network.storage
    devices = [(bridge_of(spec, template, of), vlan_of(spec, of))]
    devices += [(storage.bridge, storage.vlan)] if storage else []
    found = [(bridge_problem(facts, bridge), BRIDGE_REMEDY) for bridge, _ in devices]
    found += [(tag_problem(facts, bridge, vlan), TAG_REMEDY) for bridge, vlan in devices]
    found += [(mtu_problem(facts, bridge, mtu), MTU_REMEDY) for bridge, mtu in _mtus(spec, template, of)]
    return tuple((problem, remedy) for problem, remedy in found if problem)


def check_storages(view: ClusterView, templates: Templates) -> None:
    """Refuse where no Proxmox node has a storage that takes disks; where some have, machines go there.

    Raises:
        PreflightError: With the reason for each Proxmox node.
    """
    problems = {
        facts.name: f"{storage_of(view.spec, templates[facts.name])} of {facts.name} {problem}" if problem else ""
        for facts in _with(templates, view.observed)
        for problem in (clone_storage_problem(view.spec, facts, templates[facts.name]),)
    }
    if problems and all(problems.values()):
        raise PreflightError(
            "there is no usable storage for the machines' disks",
            details="\n".join(problems.values()),
            resolution=STORAGE_REMEDY,
        )


def check_bridges(view: ClusterView, templates: Templates, places: Iterable[tuple[MachineSpec, PveNodeName]]) -> None:
    """Refuse where a Proxmox node that gets a machine lacks its bridge, or has it as a vnet that takes no VLAN tag.

    A VM on a missing bridge is made all right, and then does not start (PVE 8.4, observed).

    Raises:
        PreflightError: Names each such Proxmox node and what it has.
    """
    there = {facts.name: facts for facts in view.observed.pve_nodes}
    found = [
        problem
        for machine, pve_node in places
        if pve_node in there
        for problem in network_problems(view.spec, there[pve_node], templates.get(pve_node), machine)
    ]
    if found:
        raise PreflightError(
            _NETWORK_BRIEFS[found[0][1]],
            details="\n".join(dict.fromkeys(problem for problem, _ in found)),
            resolution=joined("; ", dict.fromkeys(remedy for _, remedy in found)),
        )


def _with(templates: Templates, observed: Observed) -> Iterable[PveNodeFacts]:
    return (facts for facts in observed.pve_nodes if facts.name in templates)


def check_pod_ranges(spec: ClusterSpec, machines: int) -> None:
    """Refuse more machines than k3s has pod ranges for: those beyond never become Ready.

    k3s gives each node a /24 of the cluster CIDR, 10.42.0.0/16 by default (k3s documentation), so 256 nodes; and a /64
    of its IPv6 side.
    """
    for cidr in cluster_networks(spec).pods:
        length = NODE_PREFIX if isinstance(cidr, IPv4Network) else NODE_PREFIX6
        ranges = 2 ** max(0, length - cidr.prefixlen)
        if machines > ranges:
            wider = "10.128.0.0/12" if isinstance(cidr, IPv4Network) else "one with a shorter prefix"
            raise PreflightError(
                f"{machines} machines are needed, but the cluster's pod network {cidr} has room for {ranges}",
                details=f"k3s gives each node a /{length} of it",
                resolution=f"set a wider k3s.cluster_cidr before the cluster is first built, such as {wider}",
            )

"""`clusters`: the clusters on a Proxmox VE, and the clusters that this computer has state of."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from bootstrap.model.ids import CLUSTER_NAME_FORM, ClusterName, PveNodeName, Vmid
from bootstrap.model.observed import OWNER_TAG, VmRecord
from bootstrap.planning.members.foreign import skipped_line
from bootstrap.ports import Ports
from bootstrap.records.state.state_items import KUBECONFIG
from bootstrap.records.vms.lock import is_marker, looks_like_marker
from bootstrap.records.vms.machine import is_ours, lacks_only_a_signature
from bootstrap.waiting import report_fact

CLUSTERS_FORMAT = 1
"""Version of the JSON form; it grows when a key changes its meaning or goes."""


@dataclass(frozen=True, kw_only=True)
class ClusterSummary:
    """A cluster in a few numbers.

    Attributes:
        control_plane, workers: How many machines; machines being removed count until they are gone.
        running: How many of them run.
        out_of_sight: VMs tagged as its machines on unreachable Proxmox nodes; nothing else is known of them.
        vmids: The lowest and the highest vmid of its machines, also of unreachable ones; None without any.
        pve_nodes: Where these are.
        foreign: VMs that claim to be its machines and are not signed with a key that this computer has.
        at_work: Whether a run is in progress on it.
        known: Whether this computer has anything of it.
        kubeconfig: Whether this computer has its kubeconfig.
    """

    name: ClusterName
    control_plane: int = 0
    workers: int = 0
    running: int = 0
    out_of_sight: int = 0
    foreign: int = 0
    vmids: tuple[Vmid, Vmid] | None = None
    pve_nodes: tuple[PveNodeName, ...] = ()
    at_work: bool = False
    known: bool = False
    kubeconfig: bool = False

    @property
    def machines(self) -> int:
        """All machines whose records were seen."""
        return self.control_plane + self.workers


def all_clusters(ports: Ports) -> tuple[ClusterSummary, ...]:
    """The clusters with machines in Proxmox VE, and the clusters with items in the state directory. Reads only.

    Only VMs with our tag are read: an interrupted clone, or a machine whose tag was removed, is not seen.
    """
    vms: defaultdict[ClusterName, list[VmRecord]] = defaultdict(list)
    known = ports.state.clusters()
    found = ports.hypervisor.machines()
    seen = {*known, *(vm.record.cluster for vm in found if vm.record is not None)}
    for vm in found:
        if vm.problem:
            report_fact(skipped_line(vm))
            continue
        name = _cluster_of(vm, seen)
        if name is not None:
            vms[name].append(vm)
    return tuple(_summary(name, vms.get(name, []), known, ports) for name in sorted({*vms, *known}))


def _cluster_of(vm: VmRecord, seen: Collection[ClusterName]) -> ClusterName | None:
    """The cluster that a VM belongs to; None for a copy of a machine."""
    if vm.record is None:
        return _by_tags(vm, seen)
    # A VM that lacks only the signature is reported as foreign: it may be of a cluster of another computer.
    cluster = vm.record.cluster
    return cluster if is_ours(vm, cluster) or lacks_only_a_signature(vm, cluster) else None


def _by_tags(vm: VmRecord, seen: Collection[ClusterName]) -> ClusterName | None:
    """By ours and the cluster's name: all that is known of a marker, and of a VM on an unreachable Proxmox node."""
    tags = [ClusterName(tag) for tag in sorted(vm.tags - {OWNER_TAG}) if re.fullmatch(CLUSTER_NAME_FORM, tag)]
    if vm.name:
        return max((tag for tag in tags if vm.name.startswith(f"{tag}-")), key=len, default=None)
    # Without a name: a cluster that is known, else the only one that it can be.
    return next((tag for tag in tags if tag in seen), tags[0] if len(tags) == 1 else None)


class _Kind(Enum):
    MACHINE = "machine"
    FOREIGN = "foreign"
    MARKER = "marker"
    HIDDEN = "hidden"
    """On a Proxmox node that is unreachable."""


def _kind(vm: VmRecord, cluster: ClusterName) -> _Kind:
    if is_ours(vm, cluster):
        return _Kind.MACHINE
    if vm.record is not None:
        return _Kind.FOREIGN
    return _Kind.MARKER if looks_like_marker(vm) else _Kind.HIDDEN


def _summary(name: ClusterName, vms: Sequence[VmRecord], known: Sequence[ClusterName], ports: Ports) -> ClusterSummary:
    found: defaultdict[_Kind, list[VmRecord]] = defaultdict(list)
    for vm in vms:
        found[_kind(vm, name)].append(vm)
    machines, hidden = found[_Kind.MACHINE], found[_Kind.HIDDEN]
    servers = sum(vm.is_server for vm in machines)
    vmids = sorted(vm.vmid for vm in (*machines, *hidden))
    return ClusterSummary(
        name=name,
        control_plane=servers,
        workers=len(machines) - servers,
        running=sum(vm.running for vm in machines),
        out_of_sight=len(hidden),
        vmids=(vmids[0], vmids[-1]) if vmids else None,
        pve_nodes=tuple(sorted({vm.pve_node for vm in (*machines, *hidden)})),
        foreign=len(found[_Kind.FOREIGN]),
        at_work=any(map(is_marker, found[_Kind.MARKER])),
        known=name in known,
        kubeconfig=bool(ports.state.read(name, KUBECONFIG)),
    )

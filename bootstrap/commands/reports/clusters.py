"""`clusters`: the clusters that a Proxmox VE holds, and those that this computer knows."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bootstrap.model.ids import CLUSTER_NAME_FORM, ClusterName, PveNodeName, Vmid
from bootstrap.model.machine import Role
from bootstrap.model.observed import OWNER_TAG, VmRecord
from bootstrap.planning.members.foreign import skipped_line
from bootstrap.ports import Ports
from bootstrap.records.state.state_items import KUBECONFIG
from bootstrap.records.vms.lock import is_marker, looks_like_marker
from bootstrap.records.vms.machine import is_ours, lacks_only_a_signature
from bootstrap.waiting import tell

CLUSTERS_FORMAT = 1
"""Version of the JSON form; it grows when a key changes its meaning or goes."""


@dataclass(frozen=True, kw_only=True)
class ClusterSummary:
    """A cluster in a few numbers.

    Attributes:
        control_plane, workers: How many machines; those on their way out count until they are gone.
        running: How many of them run.
        out_of_sight: VMs tagged as its machines on Proxmox nodes that cannot be asked; nothing else is known of them.
        vmids: The lowest and the highest vmid of its machines, those out of sight among them; None without any.
        pve_nodes: Where these are.
        foreign: VMs that say they are its machines and are not signed with a key of it that this computer has.
        at_work: Whether somebody works on it now.
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
    """The clusters with machines in Proxmox VE, and those with items in the state directory. Reads only.

    Only what carries our tag is read: a machine that is half-made, or whose tag somebody has removed, is not seen.
    """
    vms: defaultdict[ClusterName, list[VmRecord]] = defaultdict(list)
    known = ports.state.clusters()
    found = ports.hypervisor.machines()
    seen = {*known, *(vm.record.cluster for vm in found if vm.record is not None)}
    for vm in found:
        if vm.problem:
            tell(skipped_line(vm))
            continue
        name = _cluster_of(vm, seen)
        if name is not None:
            vms[name].append(vm)
    return tuple(_summary(name, vms.get(name, []), known, ports) for name in sorted({*vms, *known}))


def _cluster_of(vm: VmRecord, seen: Collection[ClusterName]) -> ClusterName | None:
    """Whose VM it is; a copy that somebody made of a machine is nobody's."""
    if vm.record is not None:
        # What only lacks the signature is told as foreign: a cluster's of another computer, or nobody's.
        cluster = vm.record.cluster
        return cluster if is_ours(vm, cluster) or lacks_only_a_signature(vm, cluster) else None
    # Of a marker, and on a Proxmox node that cannot be asked, tags are all there is: ours, and the cluster's name.
    tags = [ClusterName(tag) for tag in vm.tags - {OWNER_TAG} if re.fullmatch(CLUSTER_NAME_FORM, tag)]
    if not vm.name:  # not told any more: a cluster that is known, else the only one that it can be
        return next((tag for tag in sorted(tags) if tag in seen), tags[0] if len(tags) == 1 else None)
    return max((tag for tag in tags if vm.name.startswith(f"{tag}-")), key=len, default=None)


def _summary(name: ClusterName, vms: Sequence[VmRecord], known: Sequence[ClusterName], ports: Ports) -> ClusterSummary:
    machines = [vm for vm in vms if is_ours(vm, name)]
    roles = Counter(vm.record and vm.record.role for vm in machines)
    markers = [vm for vm in vms if looks_like_marker(vm)]
    hidden = [vm for vm in vms if vm.record is None and vm not in markers]
    own = [*(vm for vm in machines if vm not in markers), *hidden]
    return ClusterSummary(
        name=name,
        control_plane=roles[Role.CONTROL_PLANE],
        workers=roles[Role.WORKER],
        running=sum(vm.running for vm in machines),
        out_of_sight=len(hidden),
        vmids=_ends(own),
        pve_nodes=tuple(sorted({vm.pve_node for vm in own})),
        foreign=sum(vm not in machines and vm.record is not None for vm in vms),
        at_work=any(map(is_marker, markers)),
        known=name in known,
        kubeconfig=bool(ports.state.read(name, KUBECONFIG)),
    )


def _ends(vms: Sequence[VmRecord]) -> tuple[Vmid, Vmid] | None:
    vmids = sorted(vm.vmid for vm in vms)
    return (vmids[0], vmids[-1]) if vmids else None

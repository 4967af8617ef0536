"""Which machines a pool has: the ones that stay, are added, or are removed.

A machine's number is a name and no rank: pools may have gaps. What Proxmox VE has counts first; a machine whose VM is
gone but whose Kubernetes node is left gets a new VM under its name; further ones take the lowest free numbers.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bootstrap.model.ids import MachineName, PveNodeName
from bootstrap.model.machine import NodePool, RecordState, Role
from bootstrap.model.observed import KubeNode, UnreachableVm, VmRecord
from bootstrap.planning.view import ClusterView

_MOST_DIGITS = 10
"""Of a machine's number."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def machine_name(cluster: str, pool: NodePool, ordinal: int) -> MachineName:
    """`<cluster>-cp-N` for servers, `<cluster>-<pool>-N` for the others; N counts from 1."""
    middle = "cp" if pool.role is Role.CONTROL_PLANE else pool.name
    return MachineName(f"{cluster}-{middle}-{ordinal}")


def ordinal_of(name: MachineName) -> int:
    """A machine's number; 0 for a name without one."""
    tail = name.rpartition("-")[2]
    return int(tail) if tail.isdecimal() and len(tail) < _MOST_DIGITS else 0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What exists of a machine.

    Attributes:
        vm: Its VM, or None.
        kube_node: Its Kubernetes node, or None (not registered, or the API cannot be asked).
        unreachable: The unreachable VM that it is, or may be.
    """

    vm: VmRecord | None
    kube_node: KubeNode | None
    unreachable: UnreachableVm | None = None

    @property
    def ready(self) -> bool:
        """Whether its Kubernetes node is Ready."""
        return self.kube_node is not None and self.kube_node.ready

    @property
    def made(self) -> bool:
        """Whether its VM has been configured, and so may hold data."""
        return self.vm is not None and self.vm.state in (RecordState.MADE, RecordState.LEAVING)

    @property
    def leaving(self) -> bool:
        """Whether an earlier command has marked it to be removed."""
        return self.vm is not None and self.vm.state is RecordState.LEAVING

    @property
    def interrupted(self) -> bool:
        """Whether it has a VM whose creation was interrupted."""
        return self.vm is not None and self.vm.state is RecordState.CLONING


@dataclass(frozen=True, kw_only=True)
class Member(Seen):
    """A machine of a pool as it is; an unreachable one counts, and nothing can be done about it."""

    name: MachineName

    @property
    def whole(self) -> bool:
        """Whether it has a VM that has been made, even if unreachable."""
        return self.made or self.unreachable is not None

    @property
    def well(self) -> bool:
        """Whether it runs and is Ready, as far as can be seen."""
        return self.vm is not None and not self.vm.idle and self.ready

    @property
    def pve_node(self) -> PveNodeName | None:
        """Where its VM is."""
        return self.vm.pve_node if self.vm is not None else None


def members(view: ClusterView, pool: NodePool) -> tuple[Member, ...]:
    """A pool's machines, by number; the unreachable ones, and those whose VM was lost as long as their node is left."""
    vms = {record.machine: vm for vm, record in view.machines if record.pool == pool.name}
    pattern = re.compile(re.escape(machine_name(view.spec.name, pool, 0).removesuffix("0")) + "[1-9][0-9]*")
    unreachable = {name: vm for name, vm in view.unreachable.named.items() if pattern.fullmatch(name)}
    lost = {name for name in view.lost if pattern.fullmatch(name)}
    found = (
        Member(name=name, vm=vms.get(name), kube_node=view.kube_nodes.get(name), unreachable=unreachable.get(name))
        for name in vms.keys() | unreachable.keys() | lost
    )
    return tuple(sorted(found, key=lambda member: (ordinal_of(member.name), member.name)))


def staying(view: ClusterView, pool: NodePool) -> tuple[Member, ...]:
    """The machines that count towards the pool's size, at most as many as that is, by number.

    Machines that are not whole are the first to be too many, then those with the highest numbers. Whether a machine
    runs, is Ready or cordoned does not count: it changes by the hour, and what `status` calls too many must not.
    """
    candidates = [member for member in members(view, pool) if not member.leaving]
    by_worth = sorted(candidates, key=lambda member: (not member.whole, ordinal_of(member.name)))
    stay = {member.name for member in by_worth[: pool.count]}
    return tuple(member for member in candidates if member.name in stay)


def worst_first(candidates: Sequence[Member], number: int) -> tuple[Member, ...]:
    """The order in which machines are replaced: at most `number` of them, the first to be replaced first.

    First without a VM, then not well, then cordoned; of the others always the newest one on the Proxmox node that has
    most of them, so that the rest stays spread.
    """
    left = list(candidates)
    chosen: list[Member] = []
    while left and len(chosen) < number:
        crowd = Counter(member.pve_node for member in left)
        worst = max(left, key=lambda member: (*_unfitness(member), crowd[member.pve_node], *_youth(member)))
        left.remove(worst)
        chosen.append(worst)
    return tuple(chosen)


def _unfitness(member: Member) -> tuple[bool, bool, bool]:
    cordoned = member.kube_node is not None and member.kube_node.unschedulable
    return (member.vm is None, not member.well, cordoned)


def _youth(member: Member) -> tuple[datetime, int]:
    created = member.kube_node.created if member.kube_node is not None else None
    return (created or _LONG_AGO, ordinal_of(member.name))


def names(view: ClusterView, pool: NodePool) -> tuple[MachineName, ...]:
    """The machines the pool is to have: the ones that stay, and new ones with the lowest free numbers."""
    stay = [member.name for member in staying(view, pool)]
    taken = {*(member.name for member in members(view, pool)), *view.kube_nodes, *view.replaced_names}
    known = dict.fromkeys(kept.name for kept in view.spec.kept if kept.pool == pool.name)
    numbered = (machine_name(view.spec.name, pool, ordinal) for ordinal in itertools.count(1))
    fresh = itertools.chain(known, (name for name in numbered if name not in known))
    free = (name for name in fresh if name not in taken)
    return tuple(sorted([*stay, *itertools.islice(free, max(pool.count - len(stay), 0))], key=ordinal_of))

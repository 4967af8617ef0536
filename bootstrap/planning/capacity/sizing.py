"""What a Proxmox node can still take, with the arithmetic to show for it.

Cores: no machine has more than its Proxmox node; the sum of all guests' may exceed the node's by a ratio.
Memory is not overcommitted. Linked clones start small: each is counted with the space that k3s, its images
and its logs are known to fill, not with the disk's nominal size, as thin volumes are meant. Data disks are there to
be filled, and count with their whole size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bootstrap.model.ids import PveNodeName, StorageName
from bootstrap.model.machine import MachineSpec
from bootstrap.model.observed import PveNodeFacts
from bootstrap.model.sizing import SizingSpec
from bootstrap.model.words import count

LINKED_CLONE_GIB = 4
"""Space a linked clone is counted with: binary 0.1, images and their unpacked layers 2, logs and pods the rest."""

CPU_WARN_RATIO = 2.0
"""vCPUs per core above which a plan has a note."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """A Proxmox node's room, before or after machines were put on it.

    Attributes:
        cores: Its logical CPUs.
        committed_cores, committed_memory_mib: Of guests that run or start with it, and machines planned so far.
        free_gib: Space per storage, planned clones already taken off.
        shared: Those of its active storages that it shares with other Proxmox nodes.
        weight: How much its free memory counts when machines are spread.
        wait_mib: What its free memory counts less by, until a machine is put on it: it has no template yet.
        servers, machines: How many of our servers and of our machines are on it.
    """

    pve_node: PveNodeName
    cores: int
    memory_mib: int
    committed_cores: int
    committed_memory_mib: int
    free_gib: tuple[tuple[StorageName, int], ...]
    shared: frozenset[StorageName] = frozenset()
    servers: int = 0
    machines: int = 0
    weight: int = 1
    wait_mib: int = 0
    sizing: SizingSpec = field(default_factory=SizingSpec)

    @classmethod
    def of(cls, facts: PveNodeFacts, sizing: SizingSpec) -> Capacity:
        """The room a Proxmox node has as observed."""
        return cls(
            pve_node=facts.name,
            cores=facts.cores,
            memory_mib=facts.memory_mib,
            committed_cores=facts.committed_cores,
            committed_memory_mib=facts.committed_memory_mib,
            free_gib=tuple((storage.name, storage.free_gib) for storage in facts.storages if storage.active),
            shared=frozenset(storage.name for storage in facts.storages if storage.active and storage.shared),
            sizing=sizing,
        )

    @property
    def is_known(self) -> bool:
        """Whether the Proxmox node's CPUs and memory are known; no node has 0 of both."""
        return bool(self.cores or self.memory_mib)

    @property
    def unknown(self) -> str:
        """Why they are not known."""
        return f"its CPUs and memory are unknown: the token lacks Sys.Audit on /nodes/{self.pve_node}"

    @property
    def free_memory_mib(self) -> int:
        """RAM that machines may still be given; negative where the node is overfull already."""
        return self.memory_mib - self.sizing.memory_reserve_mib - self.committed_memory_mib

    @property
    def free_cores(self) -> int:
        """How many vCPUs may still be given within the ratio."""
        return int(self.cores * self.sizing.cpu_overcommit) - self.committed_cores

    def room_on(self, storage: StorageName | None) -> int:
        """GiB that may still be used on a storage."""
        return dict(self.free_gib).get(storage, 0) - self.sizing.storage_reserve_gib if storage else 0


def why_not(capacity: Capacity, machine: MachineSpec, *, disks_gib: Mapping[StorageName, int]) -> tuple[str, ...]:
    """Why a machine does not fit on a Proxmox node, each reason with its arithmetic; empty when it fits."""
    if not capacity.is_known:
        return (capacity.unknown,)
    reasons = []
    if machine.cores > capacity.cores:
        reasons.append(
            f"{count(machine.cores, 'core')} needed, it has {capacity.cores} (no VM may have more than its host)"
        )
    elif machine.cores > capacity.free_cores:
        limit = int(capacity.cores * capacity.sizing.cpu_overcommit)
        reasons.append(
            f"{count(machine.cores, 'vCPU')} needed, {max(0, capacity.free_cores)} free: {capacity.cores} cores "
            f"x {capacity.sizing.cpu_overcommit:g} = {limit}, minus {capacity.committed_cores} allocated to guests"
        )
    if machine.memory_mib > capacity.free_memory_mib:
        reasons.append(
            f"{machine.memory_mib} MiB needed, {max(0, capacity.free_memory_mib)} MiB free: {capacity.memory_mib} in "
            f"total, minus {capacity.sizing.memory_reserve_mib} reserve, minus {capacity.committed_memory_mib} of "
            "guests that run or start on boot"
        )
    reasons += _why_not_on_storages(capacity, disks_gib)
    return tuple(reasons)


def _why_not_on_storages(capacity: Capacity, disks_gib: Mapping[StorageName, int]) -> Iterator[str]:
    for storage, disk_gib in disks_gib.items():
        free = dict(capacity.free_gib).get(storage)
        if free is None:
            yield f"storage {storage} is not active there"
        elif disk_gib > capacity.room_on(storage):
            yield (
                f"{disk_gib} GiB needed on {storage}, {max(0, capacity.room_on(storage))} GiB free: "
                f"{free} free, minus {capacity.sizing.storage_reserve_gib} reserve"
            )

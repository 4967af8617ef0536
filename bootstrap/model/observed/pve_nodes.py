"""Proxmox nodes, and the Proxmox cluster they are in."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.model.ids import PveNodeName, StorageName

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Words of `uname -m`, and what k3s's releases, cloud images and container templates call the same."""


@dataclass(frozen=True, kw_only=True)
class PveVersion:
    """Proxmox VE's version, such as 8.4 or 9.0."""

    major: int
    minor: int
    text: str


@dataclass(frozen=True, kw_only=True)
class StorageFacts:
    """A storage as one Proxmox node sees it; `free_gib` is rounded down."""

    name: StorageName
    kind: str
    shared: bool
    active: bool
    content: frozenset[str]
    free_gib: int


@dataclass(frozen=True, kw_only=True)
class Vnet:
    """An SDN vnet on a Proxmox node; a machine's network device may have a VLAN tag there only if it is VLAN-aware."""

    name: str
    vlan_aware: bool


@dataclass(frozen=True, kw_only=True)
class PveNodeFacts:
    """A Proxmox node.

    Attributes:
        online: Whether it can be asked.
        problem: What it answered where it counts as online and yet cannot be asked; else empty.
        cores: Logical CPUs (`maxcpu`): the most one VM may have.
        cpu_flags, cpu_types: CPU flags as in /proc/cpuinfo; the CPU types it knows, empty where they were not read.
        architecture: As `uname -m` names it: x86_64 or aarch64.
        bridges: Names of bridges, SDN vnets among them; empty where the token may not list them.
        vnets, mtus: Those of them that are SDN vnets; the MTUs of those whose settings state one.
        committed_cores: vCPUs of all running or on-boot guests that are not templates.
        committed_memory_mib: Their configured RAM.
        maintenance: Whether Proxmox HA has put it into maintenance (`hastate`).
    """

    name: PveNodeName
    online: bool
    problem: str = ""
    cores: int = 0
    memory_mib: int = 0
    cpu_model: str = ""
    cpu_flags: frozenset[str] = frozenset()
    cpu_types: frozenset[str] = frozenset()
    architecture: str = "x86_64"
    bridges: frozenset[str] = frozenset()
    vnets: tuple[Vnet, ...] = ()
    mtus: tuple[tuple[str, int], ...] = ()
    storages: tuple[StorageFacts, ...] = ()
    committed_cores: int = 0
    committed_memory_mib: int = 0
    maintenance: bool = False

    @property
    def k3s_arch(self) -> str:
        """Its architecture as k3s's releases name it: amd64 or arm64."""
        return ARCHITECTURES.get(self.architecture, "amd64")

    @property
    def takes_machines(self) -> bool:
        """Whether anything new may go there, as far as Proxmox VE is concerned."""
        return self.online and not self.maintenance

    @property
    def x86_flags(self) -> frozenset[str]:
        """Its CPU flags, where it is an x86-64 machine; empty too where the token may not see them."""
        return self.cpu_flags if self.architecture == "x86_64" else frozenset()

    @property
    def active_storages(self) -> frozenset[StorageName]:
        """The storages that can be used there now."""
        return frozenset(storage.name for storage in self.storages if storage.active)


@dataclass(frozen=True, kw_only=True)
class LostQuorum:
    """A Proxmox cluster without quorum: pmxcfs allows no writes below /etc/pve, so nothing can be changed.

    Attributes:
        total: Proxmox nodes of the cluster.
        away: The ones that are off, as the node that was asked sees it.
    """

    total: int
    away: tuple[PveNodeName, ...]

    def __str__(self) -> str:
        """As in `the Proxmox cluster has no quorum (1 of 3 nodes online: pve2, pve3 are off): nothing ...`."""
        off = f": {', '.join(self.away)} {'is' if len(self.away) == 1 else 'are'} off" if self.away else ""
        online = self.total - len(self.away)
        return f"the Proxmox cluster has no quorum ({online} of {self.total} nodes online{off}): nothing can be changed"

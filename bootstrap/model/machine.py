"""What a machine is to be: its pool, its size, and the record of it that its VM carries."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any, TypeAlias

from bootstrap.model.hardware import Hardware
from bootstrap.model.ids import ClusterName, MachineName, PoolName, PveNodeName, StorageName, Vmid
from bootstrap.model.settings.system import SystemSpec

CONTROL_PLANE_POOL = PoolName("control-plane")

K3sSettings: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Settings in k3s's own keys, `key+` to add to a list, each with its values as text."""


class Role(StrEnum):
    """What a machine does in the cluster."""

    CONTROL_PLANE = "control-plane"
    WORKER = "worker"

    @property
    def k3s(self) -> str:
        """k3s's word for the role: `server` or `agent`."""
        return "server" if self is Role.CONTROL_PLANE else "agent"

    @property
    def unit(self) -> str:
        """The systemd unit upstream's installer makes for the role."""
        return "k3s" if self is Role.CONTROL_PLANE else "k3s-agent"


class MachineKind(StrEnum):
    """What a machine is in Proxmox VE."""

    VM = "vm"
    LXC = "lxc"
    """A container: it shares its Proxmox node's kernel."""


@dataclass(frozen=True, kw_only=True, order=True)
class Taint:
    """A Kubernetes taint; `effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str
    value: str = ""
    effect: str

    def __str__(self) -> str:
        """As kubectl and k3s write it: `key=value:effect`."""
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, kw_only=True)
class PoolNetwork:
    """Where a pool's machines have net0, if not where all have it.

    Attributes:
        bridge: Proxmox bridge or vnet; with one named, the cluster's VLAN tag does not count, since it is of another.
        vlan: VLAN tag 1-4094.
    """

    bridge: str | None = None
    vlan: int | None = None


@dataclass(frozen=True, kw_only=True)
class MachineShape:
    """What a pool says of its machines, and each of them has: declared here once for both.

    Attributes:
        cores: vCPUs; never more than the Proxmox node has.
        memory_mib: RAM.
        disk_gib: System disk; never smaller than the template's.
        cpu_type: A Proxmox CPU type, or None to choose the best that all Proxmox nodes in use share.
        labels: Kubernetes labels, sorted by key.
        taints: Kubernetes taints, sorted.
        pve_nodes: Proxmox nodes that are allowed; empty for all that the cluster may use.
        storage: Storage for full clones, or None for the cluster's.
        hardware: Disks and devices.
        system: Packages and kernel settings, besides those of all machines.
        network: Bridge and VLAN, where these are the pool's own.
        kind: VM or container; servers are VMs.
        ostemplate: Of containers: the template's volume (`local:vztmpl/NAME.tar.zst`) or the beginning of its name,
            whose newest version is meant; None for Debian's.
        tags: Further tags of its VM in Proxmox, of the user's choice.
        notes: Text for its VM's description in Proxmox; empty for none.
        k3s_settings: Settings of its k3s in k3s's own keys.
    """

    cores: int
    memory_mib: int
    disk_gib: int
    cpu_type: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    taints: tuple[Taint, ...] = ()
    pve_nodes: tuple[PveNodeName, ...] = ()
    storage: StorageName | None = None
    hardware: Hardware = field(default_factory=Hardware)
    system: SystemSpec = field(default_factory=SystemSpec)
    network: PoolNetwork = field(default_factory=PoolNetwork)
    kind: MachineKind = MachineKind.VM
    ostemplate: str | None = None
    tags: tuple[str, ...] = ()
    notes: str = ""
    k3s_settings: K3sSettings = ()

    def shape(self) -> dict[str, Any]:
        """The fields declared here, with their values."""
        return {each.name: getattr(self, each.name) for each in fields(MachineShape)}


@dataclass(frozen=True, kw_only=True)
class NodePool(MachineShape):
    """Machines of one kind.

    Attributes:
        name: `control-plane` for the servers.
        count: How many machines.
        stated: Which of count, cores, memory_mib and disk_gib the user said. The others are defaults, which give
            way to what exists: after `up --workers 3`, `status` expects three without a file.
    """

    name: PoolName
    role: Role
    count: int
    stated: frozenset[str] = frozenset({"count", "cores", "memory_mib", "disk_gib"})


@dataclass(frozen=True, order=True, kw_only=True)
class Replaced:
    """A machine that was unreachable when it got a successor; its VM is removed once its Proxmox node is back."""

    machine: MachineName
    vmid: Vmid


@dataclass(frozen=True, kw_only=True)
class MachineSpec(MachineShape):
    """One machine we want.

    Attributes:
        address: A fixed one, or None where DHCP gives one.
        mac: The MAC address net0 is to have, in upper case, or None to keep the one its clone was given.
        storage_address: A fixed one of the storage network, for net1.
        replaces: Unreachable machines that it replaces, because the user declared them lost (docs/adr/0008).
    """

    name: MachineName
    role: Role
    pool: PoolName
    address: IPv4Address | None = None
    mac: str | None = None
    storage_address: IPv4Address | None = None
    replaces: tuple[Replaced, ...] = ()


class RecordState(StrEnum):
    """How far a VM had come when its record was written."""

    CLONING = "cloning"
    """Written by the clone request itself; the tag is not there yet, since a clone request takes none."""
    MADE = "made"
    """Written with the configuration; the tag is there from then on."""
    LEAVING = "leaving"
    """Being removed from the cluster: it no longer counts; the command that marked it, or the next, removes it."""


@dataclass(frozen=True, kw_only=True)
class CloneAsked:
    """The request that made a clone; its task shows whether the clone is ours.

    Attributes:
        template: What is cloned.
        asked_s: When, in Unix seconds by our clock.
    """

    template: Vmid
    asked_s: int


@dataclass(frozen=True, kw_only=True)
class MachineRecord:
    """What a VM's description says of the machine it is.

    `vmid` is part of it so that a copy of our VM, which has the description and the tags too, is not taken for ours.

    Attributes:
        replaces: Machines that it replaces, which were unreachable when it was made.
        cloned: Of a clone: the request it comes of. Containers have none, nor have VMs that earlier releases made.
        tags: The tags that it has from the inventory; others were added in Proxmox VE and stay.
    """

    cluster: ClusterName
    machine: MachineName
    role: Role
    pool: PoolName
    vmid: Vmid
    state: RecordState
    address: IPv4Address | None = None
    replaces: tuple[Replaced, ...] = ()
    cloned: CloneAsked | None = None
    tags: tuple[str, ...] = ()

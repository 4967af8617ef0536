"""The status of a cluster as a value: what `status` prints."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from bootstrap.k3s.worker_token import WorkerToken
from bootstrap.model.ids import ClusterName, MachineName, PoolName, PveNodeName, Vmid
from bootstrap.model.machine import MachineKind, MachineSpec, Role
from bootstrap.model.observed import Snapshot
from bootstrap.model.words import count

STATUS_FORMAT = 1
"""Version of the JSON form; it grows when a key changes its meaning or goes."""


@dataclass(frozen=True, kw_only=True)
class MachineStatus:
    """One machine: its VM and its Kubernetes node.

    Attributes:
        vm: `running`, `paused`, `stopped`, `half-made`, `missing`, or `out of sight` on an unreachable Proxmox node.
        ready: Whether its Kubernetes node is Ready; None where the API could not be asked.
        stale: Whether Kubernetes still reports it as Ready although its VM, k3s or kubelet has failed.
        cores, memory_mib, disk_gib: As the VM has them; 0 without VM.
        cpu_type: As the VM has it.
        differs: How its VM differs from the inventory, such as `2 cores instead of 4`.
        wanted: As in the inventory; None for a machine that is not in it.
        cordoned: Whether it gets no new pods.
        leaving: Whether it is being removed.
        holds_vip: Whether it has the API's own address now.
        kind: VM or container.
        os_image: The operating system by its Kubernetes node, such as `Debian GNU/Linux 12 (bookworm)`.
    """

    name: MachineName
    role: Role
    pool: PoolName
    vm: str
    ready: bool | None
    pve_node: PveNodeName | None = None
    vmid: Vmid | None = None
    address: IPv4Address | None = None
    k3s_version: str = ""
    cores: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    cpu_type: str | None = None
    differs: tuple[str, ...] = ()
    wanted: MachineSpec | None = None
    cordoned: bool = False
    leaving: bool = False
    stale: bool = False
    holds_vip: bool = False
    kind: MachineKind = MachineKind.VM
    os_image: str = ""


@dataclass(frozen=True, kw_only=True)
class Datastore:
    """Where Kubernetes keeps its objects.

    Attributes:
        kind: `sqlite` or `etcd`.
        members: Servers that hold the data.
        ready: How many of them are Ready.
    """

    kind: str
    members: int
    ready: int

    @property
    def quorum(self) -> int:
        """How many have to work for the cluster to work."""
        return self.members // 2 + 1

    def __str__(self) -> str:
        """As in `etcd: 3 members, 2 Ready, quorum 2`."""
        if self.kind == "sqlite":
            return "sqlite on one server"
        return f"etcd: {count(self.members, 'member')}, {self.ready} Ready, quorum {self.quorum}"


@dataclass(frozen=True, kw_only=True)
class Vip:
    """The API's own address, and the machine that holds it, if known."""

    address: IPv4Address
    holder: MachineName | None


@dataclass(frozen=True, kw_only=True)
class ApiCertificate:
    """The API certificate that expires first; `days_left` is negative once it has."""

    machine: MachineName
    days_left: float


@dataclass(frozen=True, kw_only=True)
class SnapshotsStatus:
    """The snapshots that k3s has records of.

    Attributes:
        count: How many there are.
        newest: The newest usable one, or None.
        age_s: Seconds since then, by our clock; None if unknown.
        unsent: The last one for the bucket, if its upload failed.
    """

    count: int
    newest: Snapshot | None
    age_s: float | None
    unsent: Snapshot | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """All machines, wanted or existing, and the problems in one line each.

    Attributes:
        notices: What is no problem of the cluster, in one line each: VMs that claim to be its machines and are not.
        vip: If the inventory gives the API an address of its own.
        datastore: None where the API could not be asked.
        certificate: None if no server answers with one.
        snapshots: None where the API could not be asked, or with sqlite.
        at_work: The run in progress, by its marker; empty without one.
        maintenance: Proxmox nodes that get no new machines for now, and why.
        worker_token: Which token workers have; None if no server reports it.
    """

    cluster: ClusterName
    machines: tuple[MachineStatus, ...]
    problems: tuple[str, ...]
    notices: tuple[str, ...] = ()
    vip: Vip | None = None
    datastore: Datastore | None = None
    certificate: ApiCertificate | None = None
    snapshots: SnapshotsStatus | None = None
    at_work: str = ""
    maintenance: tuple[tuple[PveNodeName, str], ...] = ()
    worker_token: WorkerToken | None = None

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

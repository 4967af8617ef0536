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
        vm: `running`, `paused`, `stopped`, `half-made`, `missing`, or `out of sight` on a Proxmox node that cannot be
            asked.
        ready: Whether its Kubernetes node is Ready; None where the API could not be asked.
        stale: Whether Kubernetes still says Ready of it although its VM, k3s or kubelet does not work any more.
        cores, memory_mib, disk_gib: As the VM has them; 0 without VM.
        cpu_type: As the VM has it.
        differs: In what its VM is not as the inventory says, such as `2 cores instead of 4`.
        wanted: As the inventory would have it; None for a machine that it does not ask for.
        cordoned: Whether no new pods come to it.
        leaving: Whether it is on its way out of the cluster.
        holds_vip: Whether it has the API's own address now.
        kind: VM or container.
        os_image: What its Kubernetes node says it runs, such as `Debian GNU/Linux 12 (bookworm)`.
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
        """How many have to live for the cluster to work."""
        return self.members // 2 + 1

    def __str__(self) -> str:
        """As in `etcd: 3 members, 2 Ready, quorum 2`."""
        if self.kind == "sqlite":
            return "sqlite on one server"
        return f"etcd: {count(self.members, 'member')}, {self.ready} Ready, quorum {self.quorum}"


@dataclass(frozen=True, kw_only=True)
class Vip:
    """The API's own address, and the machine that has it; None where none was seen to."""

    address: IPv4Address
    holder: MachineName | None


@dataclass(frozen=True, kw_only=True)
class ApiCertificate:
    """The API's certificate of the server whose ends first; `days_left` is negative once it has."""

    machine: MachineName
    days_left: float


@dataclass(frozen=True, kw_only=True)
class SnapshotsStatus:
    """The snapshots that k3s tells of.

    Attributes:
        count: How many there are.
        newest: The newest usable one, or None.
        age_s: Seconds since that was made, by our clock; None where it does not tell.
        unsent: The last that was for the bucket, if it did not get there.
    """

    count: int
    newest: Snapshot | None
    age_s: float | None
    unsent: Snapshot | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """All machines, wanted or there, and the problems in one line each.

    Attributes:
        notices: What is no trouble of the cluster's, in one line each: VMs that claim to be its machines and are not.
        vip: Where the cluster is to have an address of its own.
        datastore: None where the API could not be asked.
        certificate: None where no server shows one.
        snapshots: None where the API could not be asked, or with sqlite.
        at_work: Who works on the cluster now, by its marker; empty where nobody does.
        maintenance: Proxmox nodes that get no new machine for now, and who says so.
        worker_token: Which token workers hold; None where no server tells.
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

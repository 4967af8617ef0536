"""`status`: machines and Kubernetes nodes side by side, what they run on, what is wrong and what fixes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address

from bootstrap.advice import Advice
from bootstrap.commands.locked.lock import read_lock
from bootstrap.commands.locked.rebuild_state import read_rebuild
from bootstrap.commands.locked.unfinished import unfinished
from bootstrap.commands.observing.liveness import with_units
from bootstrap.commands.observing.observe import ask_servers, observe_cluster, server_addresses
from bootstrap.commands.observing.privileges import unseen_vms
from bootstrap.commands.observing.settings import with_settings
from bootstrap.errors import HomelabError, KubernetesError, PreflightError
from bootstrap.k3s.worker_token import WorkerToken, worker_token
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName, MachineName, PoolName, PveNodeName, Vmid
from bootstrap.model.machine import MachineKind, MachineSpec, RecordState, Role
from bootstrap.model.observed import KubeNode, Observed, Snapshot, VmRecord
from bootstrap.model.rights import MissingPrivileges
from bootstrap.model.words import count
from bootstrap.planning.capacity.maintenance import in_maintenance
from bootstrap.planning.checks.drift import differing_sizes
from bootstrap.planning.checks.runtime import API_CERTIFICATE_DAYS
from bootstrap.planning.checks.status_problems import problems_of, standing_state, vm_state
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.members.foreign import strangers_notices
from bootstrap.planning.provision.unfinished import unfinished_line
from bootstrap.planning.settings.snapshot_retention import is_own
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.vms.lock import LockRecord, marker_of

STATUS_FORMAT = 1
"""Version of the JSON form; it grows when a key changes its meaning or goes."""

_API_PORT = 6443


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
    pve_node: PveNodeName | None
    vmid: Vmid | None
    address: IPv4Address | None
    vm: str
    ready: bool | None
    k3s_version: str
    cores: int
    memory_mib: int
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


def cluster_status(spec: ClusterSpec, ports: Ports, *, seen: Observed | None = None) -> ClusterStatus:
    """Observe and report. Reads only.

    Args:
        spec: The cluster.
        ports: Where to look.
        seen: What a plan was made from a moment ago, so that it is not looked at twice.
    """
    observed = seen or _observed(spec, ports)
    found = status_of(spec, observed)
    unseen = unseen_vms(spec, ports, observed.vms)
    if unseen is not None:
        return replace(found, machines=(), notices=(), problems=(*_rebuild_problems(spec, ports), _unseen(unseen)))
    servers = server_addresses(spec, observed)
    holder = _at_work(spec, observed, ports)
    certificate = _certificate(servers, ports)
    has_etcd = found.datastore is not None and found.datastore.kind == "etcd"
    snapshots = _snapshots(spec, ports, [address for _, address in servers]) if has_etcd else None
    return replace(
        found,
        certificate=certificate,
        snapshots=snapshots,
        at_work=str(holder) if holder is not None else "",
        problems=(
            *_rebuild_problems(spec, ports),
            *_unfinished_problems(spec, observed, ports, holder),
            *found.problems,
            *_certificate_problems(certificate),
            *_snapshot_problems(snapshots),
        ),
    )


def _observed(spec: ClusterSpec, ports: Ports) -> Observed:
    observed = with_units(spec, ports, observe_cluster(spec, ports, patient=False), every=True)
    return with_settings(with_existing_sizes(spec, observed), ports, observed)


def _unseen(lack: MissingPrivileges) -> str:
    """Proxmox VE shows a token without VM.Audit empty lists, which are no sign that there is nothing."""
    return (
        f"this token may not see VMs (no VM.Audit on {lack.path}), so it is unknown whether the cluster exists; as "
        f"root on a Proxmox node: {lack.remedy}"
    )


def status_of(spec: ClusterSpec, observed: Observed) -> ClusterStatus:
    """What an observation means."""
    spec = with_existing_sizes(spec, observed)
    view = ClusterView(spec, observed)
    try:
        wanted = view.states
    except PreflightError:
        wanted = ()  # an address range used up hinders `up`, not looking
    return ClusterStatus(
        cluster=spec.name,
        machines=tuple(_rows(spec, observed, wanted)),
        problems=problems_of(view, wanted),
        notices=strangers_notices(view),
        vip=Vip(address=spec.vip.address, holder=observed.vip_holder) if spec.vip else None,
        datastore=_datastore(view),
        maintenance=tuple(sorted(in_maintenance(view).items())),
        worker_token=worker_token(observed),
    )


def _rows(spec: ClusterSpec, observed: Observed, wanted: tuple[MachineState, ...]) -> Iterator[MachineStatus]:
    """The machines that are wanted, then what there is besides of ours."""
    kube = {kube_node.name: kube_node for kube_node in observed.kube_nodes or ()}
    for machine_state in wanted:
        machine = machine_state.machine
        row = _row(machine.name, machine.role, machine.pool, machine_state.vm, kube.get(machine.name), observed)
        unreachable = machine_state.unreachable
        yield replace(
            row,
            wanted=machine,
            kind=machine.kind,
            differs=differing_sizes(machine_state),
            vm=standing_state(machine_state),
            pve_node=unreachable.pve_node if unreachable else row.pve_node,
            vmid=unreachable.vmid if unreachable else row.vmid,
        )
    shown = {machine_state.name: machine_state.vm for machine_state in wanted}
    for vm, record in ClusterView(spec, observed).machines:
        if shown.get(record.machine) != vm:
            yield _row(record.machine, record.role, record.pool, vm, kube.get(record.machine), observed)


def _row(
    name: MachineName,
    role: Role,
    pool: PoolName,
    vm: VmRecord | None,
    kube_node: KubeNode | None,
    observed: Observed,
) -> MachineStatus:
    address = dict(observed.addresses).get(name) or (kube_node.address if kube_node else None)
    row = MachineStatus(
        name=name,
        role=role,
        pool=pool,
        pve_node=None,
        vmid=None,
        address=address,
        vm=vm_state(vm),
        ready=(kube_node.ready if kube_node else False) if observed.kube_nodes is not None else None,
        k3s_version=kube_node.version if kube_node else "",
        cores=0,
        memory_mib=0,
        cordoned=kube_node is not None and kube_node.unschedulable,
        holds_vip=observed.vip_holder == name,
        stale=kube_node is not None and kube_node.stale,
        os_image=kube_node.os_image if kube_node else "",
    )
    if vm is None:
        return row
    return replace(
        row,
        kind=vm.kind,
        pve_node=vm.pve_node,
        vmid=vm.vmid,
        address=address or vm.address,
        cores=vm.cores,
        memory_mib=vm.memory_mib,
        disk_gib=vm.disk_gib,
        cpu_type=vm.cpu_type,
        leaving=vm.state is RecordState.LEAVING,
    )


def _datastore(view: ClusterView) -> Datastore | None:
    if not view.kube_servers:
        return None
    kind, members = ("sqlite", view.kube_servers) if view.on_sqlite else ("etcd", view.etcd_members)
    return Datastore(kind=kind, members=len(members), ready=sum(server.ready for server in members))


def _rebuild_problems(spec: ClusterSpec, ports: Ports) -> Iterator[str]:
    try:
        under_way = read_rebuild(spec.name, ports)
    except HomelabError as error:
        yield str(error)
        return
    if under_way is not None:
        yield Advice("a rebuild of the cluster is in progress; if it was interrupted: `homelab-k8s rebuild`")


def _certificate(servers: tuple[tuple[MachineName, IPv4Address], ...], ports: Ports) -> ApiCertificate | None:
    """The one that ends first; a server that shows none is not up, which others tell."""

    def look(server: tuple[MachineName, IPv4Address]) -> ApiCertificate | None:
        name, address = server
        try:
            return ApiCertificate(machine=name, days_left=ports.probes.certificate(address, _API_PORT).days_left)
        except HomelabError:
            return None

    if not servers:
        return None
    with ThreadPoolExecutor(max_workers=len(servers), thread_name_prefix="certificate") as pool:
        found = [certificate for certificate in pool.map(look, servers) if certificate is not None]
    return min(found, key=lambda certificate: certificate.days_left, default=None)


def _certificate_problems(certificate: ApiCertificate | None) -> Iterator[str]:
    if certificate is None or certificate.days_left >= API_CERTIFICATE_DAYS:
        return
    name, days = certificate.machine, certificate.days_left
    when = f"ends in {days:.0f} days" if days > 0 else f"ended {-days:.0f} days ago"
    yield Advice(
        "the API's certificate of {} {}; k3s renews it at a restart: `homelab-k8s ssh {} -- sudo systemctl restart "
        "k3s`",
        name,
        when,
        name,
    )


def _snapshots(spec: ClusterSpec, ports: Ports, servers: list[IPv4Address]) -> SnapshotsStatus | None:
    try:
        told = ask_servers(spec, ports, servers, ask=lambda kube: kube.snapshots())
    except KubernetesError:
        return None
    told = tuple(snapshot for snapshot in told if is_own(snapshot, spec))
    newest = _newest(snapshot for snapshot in told if not snapshot.problem)
    made = newest.made if newest is not None else None
    age_s = max(0.0, ports.processes.unix_s() - made.timestamp()) if made is not None else None
    last = _newest(snapshot for snapshot in told if not snapshot.location.startswith("file://"))
    unsent = last if last is not None and last.problem else None
    return SnapshotsStatus(count=len(told), newest=newest, age_s=age_s, unsent=unsent)


def _newest(snapshots: Iterable[Snapshot]) -> Snapshot | None:
    return max(snapshots, key=lambda snapshot: snapshot.made or datetime.min.replace(tzinfo=UTC), default=None)


def _snapshot_problems(snapshots: SnapshotsStatus | None) -> Iterator[str]:
    """That the last one did not get into the bucket: k3s takes those of its schedule without a word of it."""
    unsent = snapshots.unsent if snapshots is not None else None
    if unsent is not None:
        yield Advice(
            "the snapshot {} is not in the bucket: {}; check endpoint, keys and rights "
            "(backup.s3 in the inventory), then `homelab-k8s backup --to s3`",
            unsent.name,
            unsent.problem,
        )


def _at_work(spec: ClusterSpec, observed: Observed, ports: Ports) -> LockRecord | None:
    vm = marker_of(spec.name, observed.vms)
    marker = ports.markers.find(vm.vmid) if vm is not None else None
    return read_lock(marker, ports) if marker is not None else None


def _unfinished_problems(
    spec: ClusterSpec, observed: Observed, ports: Ports, holder: LockRecord | None
) -> Iterator[str]:
    """The command that was cut off or failed, unless it is at work now."""
    if holder is not None and ports.processes.state(holder.process) is not False:
        return
    noted = unfinished(with_existing_sizes(spec, observed), ports, observed)
    if noted is not None:
        yield unfinished_line(noted)

"""`status`: machines and Kubernetes nodes side by side, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from bootstrap.commands.observe import observe_cluster
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName, MachineName, PoolName, PveNodeName, Vmid
from bootstrap.model.machine import RecordState, Role
from bootstrap.model.observed import KubeNode, Observed, VmRecord
from bootstrap.model.record import is_ours
from bootstrap.planning.drift import notes_on_drift
from bootstrap.planning.machines import needs_work, settled, standings
from bootstrap.ports import Ports

STATUS_FORMAT = 1
"""Version of the JSON form; it grows when a key changes its meaning or goes."""


@dataclass(frozen=True, kw_only=True)
class MachineStatus:
    """One machine: its VM and its Kubernetes node.

    Attributes:
        vm: `running`, `stopped`, `half-made` or `missing`.
        ready: Whether its Kubernetes node is Ready; None where the API could not be asked.
        cores, memory_mib: As the VM has them; 0 without VM.
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


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """All machines, wanted or there, and the problems in one line each."""

    cluster: ClusterName
    machines: tuple[MachineStatus, ...]
    problems: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def cluster_status(spec: ClusterSpec, ports: Ports) -> ClusterStatus:
    """Observe and tell. Reads only."""
    return status_of(spec, observe_cluster(spec, ports))


def status_of(spec: ClusterSpec, observed: Observed) -> ClusterStatus:
    """What an observation means."""
    spec = settled(spec, observed)
    try:
        wanted = standings(spec, observed)
    except PreflightError:
        wanted = ()  # an address range used up hinders `up`, not looking
    addresses = dict(observed.addresses)
    kube = {kube_node.name: kube_node for kube_node in observed.kube_nodes or ()}
    asked = observed.kube_nodes is not None
    rows = [
        _row(standing.machine.name, standing.machine.role, standing.machine.pool, standing.vm, kube, addresses, asked)
        for standing in wanted
    ]
    names = {row.name for row in rows}
    for vm in observed.vms:
        if is_ours(vm, spec.name) and vm.record and vm.record.machine not in names:
            rows.append(_row(vm.record.machine, vm.record.role, vm.record.pool, vm, kube, addresses, asked))
    problems = [
        f"{s.machine.name} {why}" for s in wanted if (why := needs_work(s)) and s.vm and (asked or not _whole(s.vm))
    ]
    problems += _missing(wanted_count=len(wanted), rows=rows)
    if not asked and any(row.vm == "running" for row in rows):
        problems.append(
            f"the Kubernetes API could not be asked: {observed.kube_problem}; "
            "whether the machines are in the cluster is unknown"
        )
    problems += _orphans(spec, observed)
    problems += notes_on_drift(spec, observed, wanted)
    return ClusterStatus(cluster=spec.name, machines=tuple(rows), problems=tuple(problems))


def _missing(*, wanted_count: int, rows: list[MachineStatus]) -> list[str]:
    missing = [row.name for row in rows if row.vm == "missing"]
    if missing and len(missing) == wanted_count:
        return ["the cluster does not exist; `homelab-k8s up` builds it"]
    return [f"{name} has no VM; `homelab-k8s up` makes it" for name in missing]


def _orphans(spec: ClusterSpec, observed: Observed) -> list[str]:
    """Kubernetes nodes without a machine of ours."""
    ours = {vm.record.machine for vm in observed.vms if vm.record and is_ours(vm, spec.name)}
    return [
        f"Kubernetes node {kube_node.name} has no machine of ours"
        for kube_node in observed.kube_nodes or ()
        if kube_node.name not in ours
    ]


def _row(
    name: MachineName,
    role: Role,
    pool: PoolName,
    vm: VmRecord | None,
    kube: dict[MachineName, KubeNode],
    addresses: dict[MachineName, IPv4Address],
    asked: bool,
) -> MachineStatus:
    kube_node = kube.get(name)
    address = addresses.get(name) or (kube_node.address if kube_node else None)
    return MachineStatus(
        name=name,
        role=role,
        pool=pool,
        pve_node=vm.pve_node if vm else None,
        vmid=vm.vmid if vm else None,
        address=address or (vm.address if vm else None),
        vm=_vm_state(vm),
        ready=(kube_node.ready if kube_node else False) if asked else None,
        k3s_version=kube_node.version if kube_node else "",
        cores=vm.cores if vm else 0,
        memory_mib=vm.memory_mib if vm else 0,
    )


def _whole(vm: VmRecord) -> bool:
    """Whether all is well with a machine as far as Proxmox VE knows."""
    return _vm_state(vm) == "running"


def _vm_state(vm: VmRecord | None) -> str:
    if vm is None:
        return "missing"
    if vm.record is not None and vm.record.state is RecordState.CLONING:
        return "half-made"
    return "running" if vm.running else "stopped"

"""Clusters as they might be seen, for tests of pure planning."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bootstrap.model.ids import MachineName, PveNodeName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, MachineRecord, NodePool, RecordState, Role
from bootstrap.model.observed import OWNER_TAG, KubeNode, Observed, PveVersion, VmRecord
from bootstrap.planning.members.pool_members import machine_name, ordinal_of
from tests.fakes.specs import DEMO
from tests.fakes.world import TEMPLATE, pve_node
from tests.fakes.world.facts import VERSION

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)


def vm(
    pool: NodePool,
    ordinal: int,
    *,
    on: str = "pve1",
    running: bool = True,
    state: RecordState = RecordState.MADE,
) -> VmRecord:
    """A VM of ours."""
    vmid = Vmid((7000 if pool.name == CONTROL_PLANE_POOL else 7100) + ordinal)
    name = machine_name(DEMO, pool, ordinal)
    record = MachineRecord(cluster=DEMO, machine=name, role=pool.role, pool=pool.name, vmid=vmid, state=state)
    return VmRecord(
        vmid=vmid,
        name=name,
        pve_node=PveNodeName(on),
        running=running,
        tags=frozenset({OWNER_TAG, DEMO}),
        record=record,
        cores=pool.cores,
        memory_mib=pool.memory_mib,
        smbios_uuid=f"uuid-{vmid}",
        doubt="",
    )


def kube_node(name: MachineName, *, role: Role = Role.WORKER, ready: bool = True, etcd: bool = False) -> KubeNode:
    """A Kubernetes node; the higher its number, the younger it is."""
    roles = {"control-plane", *(["etcd"] if etcd else [])} if role is Role.CONTROL_PLANE else set()
    return KubeNode(
        name=name,
        ready=ready,
        version=VERSION,
        roles=frozenset(roles),
        created=BEGAN + timedelta(hours=ordinal_of(name)),
    )


def seen(*vms: VmRecord, nodes: tuple[KubeNode, ...] | None = None, pve_nodes: int = 1, etcd: bool = False) -> Observed:
    """What is seen of machines; without `nodes` each running one has a Ready Kubernetes node."""
    if nodes is None:
        nodes = tuple(
            kube_node(each.record.machine, role=each.record.role, etcd=etcd)
            for each in vms
            if each.record and each.running
        )
    names = [f"pve{number}" for number in range(1, pve_nodes + 1)]
    return Observed(
        version=PveVersion(major=8, minor=4, text="8.4"),
        pve_nodes=tuple(pve_node(name, cores=64, memory_gib=256) for name in names),
        templates=tuple(
            replace(TEMPLATE, pve_node=PveNodeName(name), vmid=Vmid(9000 + turn)) for turn, name in enumerate(names)
        ),
        vms=vms,
        used_vmids=frozenset(each.vmid for each in vms) | {Vmid(9000)},
        kube_nodes=nodes,
    )

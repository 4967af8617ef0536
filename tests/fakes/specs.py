"""Cluster specs for tests."""

from __future__ import annotations

from bootstrap.model.cluster import ClusterSpec, TemplateRef
from bootstrap.model.ids import ClusterName, PoolName
from bootstrap.model.machine import CONTROL_PLANE_POOL, NodePool, Role

DEMO = ClusterName("demo")


def control_plane(count: int = 1, *, cores: int = 2, memory_mib: int = 2048) -> NodePool:
    return NodePool(
        name=CONTROL_PLANE_POOL,
        role=Role.CONTROL_PLANE,
        count=count,
        cores=cores,
        memory_mib=memory_mib,
        disk_gib=20,
    )


def workers(count: int = 3, *, name: str = "workers", cores: int = 2, memory_mib: int = 2048) -> NodePool:
    return NodePool(name=PoolName(name), role=Role.WORKER, count=count, cores=cores, memory_mib=memory_mib, disk_gib=20)


def cluster(servers: int = 1, agents: int = 3) -> ClusterSpec:
    return ClusterSpec(
        name=DEMO,
        template=TemplateRef(name="debian-12"),
        control_plane=control_plane(servers),
        workers=(workers(agents),) if agents else (),
        labels_from_proxmox=False,  # what is seen in tests of planning says nothing of places
    )

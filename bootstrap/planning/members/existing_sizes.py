"""The sizes of pools that the inventory leaves open: those of the machines that exist. Pure."""

from __future__ import annotations

from dataclasses import replace

from bootstrap.model.machine import NodePool
from bootstrap.planning.members.pool_members import members
from bootstrap.planning.view import ClusterView


def with_existing_sizes(view: ClusterView) -> ClusterView:
    """The view with sizes that the inventory leaves out taken from the machines that exist."""
    spec = view.spec
    pools = tuple(_settled_pool(view, pool) for pool in spec.workers)
    return replace(view, spec=replace(spec, control_plane=_settled_pool(view, spec.control_plane), workers=pools))


def _settled_pool(view: ClusterView, pool: NodePool) -> NodePool:
    there = members(view, pool)
    if "count" not in pool.stated:
        pool = replace(pool, count=max(pool.count, sum(not member.leaving for member in there)))
    made = next((member.vm for member in there if member.vm and member.made and not member.leaving), None)
    if made is None:
        return pool

    def settled(key: str, wanted: int, seen: int) -> int:
        return wanted if key in pool.stated else seen or wanted

    return replace(
        pool,
        cores=settled("cores", pool.cores, made.cores),
        memory_mib=settled("memory_mib", pool.memory_mib, made.memory_mib),
        disk_gib=settled("disk_gib", pool.disk_gib, made.disk_gib),
    )

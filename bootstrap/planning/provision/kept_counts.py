"""How many machines pools keep while machines are replaced: as many as there are, whatever the inventory says.

`replace`, `rebalance` and `rebuild --keep-identity` never change a pool's size: `scale` does, and `up` where machines
are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PoolName
from bootstrap.model.machine import NodePool
from bootstrap.model.words import count
from bootstrap.planning.members.pool_members import members

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


NO_COUNTS: Mapping[PoolName, int] = {}


def with_kept_counts(
    view: ClusterView,
    *,
    noted: Mapping[PoolName, int] = NO_COUNTS,
    asked: Mapping[PoolName, int] = NO_COUNTS,
) -> ClusterSpec:
    """The spec with every pool as large as it is.

    Args:
        view: The cluster, as wanted and as seen.
        noted: The pools' sizes when an unfinished replacement was started.
        asked: The sizes that an unfinished `scale` was to give them; they count instead of the inventory's.
    """

    def kept(pool: NodePool) -> NodePool:
        number = _kept_count(view, pool, noted.get(pool.name), asked.get(pool.name, pool.count))
        return replace(pool, count=number, stated=pool.stated | {"count"})

    return view.spec.with_pools(kept)


def _kept_count(view: ClusterView, pool: NodePool, noted: int | None, asked: int) -> int:
    there = members(view, pool)
    staying = sum(not member.leaving for member in there)
    if noted is not None:
        return max(noted, staying)
    # Another computer, or a run whose state directory is lost, may have begun to replace machines: these get
    # successors as far as they are asked for. None that stays is ever too many here.
    return min(max(asked, staying), len(there))


def count_notes(spec: ClusterSpec, kept: ClusterSpec, *, command: str) -> Iterator[str]:
    """A line for each pool whose size is not the inventory's, and stays so.

    Args:
        spec: With the inventory's sizes.
        kept: The same with `with_kept_counts`.
        command: What keeps them: `replace`.
    """
    sizes = {pool.name: pool.count for pool in kept.pools}
    for pool in spec.pools:
        number = sizes[pool.name]
        fix = ("scale", "removes the others") if number > pool.count else ("up", "creates the missing ones")
        if number != pool.count:
            yield Advice(
                "{} has {}, the inventory says {}, and `{}` does not change their number: `homelab-k8s {}` {}",
                pool.name,
                count(number, "machine"),
                pool.count,
                command,
                *fix,
            )

"""How many machines pools keep while machines are replaced: as many as there are, whatever the inventory says.

`replace`, `rebalance` and `rebuild --keep-identity` never change a pool's size in passing: that is `scale`'s business,
and `up`'s where machines are missing.
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
        noted: The sizes that pools had when a replacement began that did not finish.
        asked: The sizes that a `scale` was to give them that did not finish; it counts instead of the inventory.
    """

    def kept(pool: NodePool) -> NodePool:
        number = _kept_count(view, pool, noted.get(pool.name), asked.get(pool.name, pool.count))
        return replace(pool, count=number, stated=pool.stated | {"count"})

    return replace(view.spec, control_plane=kept(view.spec.control_plane), workers=tuple(map(kept, view.spec.workers)))


def _kept_count(view: ClusterView, pool: NodePool, noted: int | None, asked: int) -> int:
    there = members(view, pool)
    staying = sum(not member.leaving for member in there)
    if noted is not None:
        return max(noted, staying)
    # Machines may be on their way out by a replacement that is not known here (another computer's, a lost state
    # directory): they get successors as far as they are asked for. None that stays is ever too many here.
    return min(max(asked, staying), len(there))


def count_notes(spec: ClusterSpec, kept: ClusterSpec, *, command: str) -> Iterator[str]:
    """A line for each pool whose size is not the inventory's, and stays so.

    Args:
        spec: With the inventory's sizes.
        kept: What `with_kept_counts` made of it.
        command: What keeps them: `replace`.
    """
    sizes = {pool.name: pool.count for pool in kept.pools}
    for pool in spec.pools:
        number = sizes[pool.name]
        if number == pool.count:
            continue
        remedy = "removes the others" if number > pool.count else "creates the missing ones"
        verb = "scale" if number > pool.count else "up"
        yield Advice(
            "{} has {}, the inventory says {}, and `{}` does not change their number: `homelab-k8s {}` {}",
            pool.name,
            count(number, "machine"),
            pool.count,
            command,
            verb,
            remedy,
        )

"""The names in an inventory file, for shell completion; none where the file is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bootstrap.inventory.document import Mapping, Node, Scalar, compose
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.regular import read_regular_text
from bootstrap.inventory.values.scalars import RefusedError

DEFAULT_FILE: Final = Path("homelab-k8s.yaml")
CONTROL_PLANE: Final = "control-plane"
_MOST: Final = 200
"""How many machines of a pool are named at most."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """Clusters and pools of a file, and how many machines each pool has."""

    clusters: tuple[str, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools."""
        return tuple(pool for pool, _ in self.counts)

    def machines(self, cluster: str) -> Iterator[str]:
        """The machines that pools have before any was replaced."""
        for pool, count in self.counts:
            middle = "cp" if pool == CONTROL_PLANE else pool
            yield from (f"{cluster}-{middle}-{number}" for number in range(1, min(count, _MOST) + 1))


def names_in(path: Path | None) -> Named:
    """The names in a file; None for the one in the current directory, which may not exist."""
    try:
        tree = compose(read_regular_text(path or DEFAULT_FILE), Problems())
    except (OSError, UnicodeDecodeError, RefusedError):
        return Named()
    if not isinstance(tree, Mapping):
        return Named()
    cluster = tree.entries.get("cluster")
    pools = tree.entries.get("pools")
    counts = [(CONTROL_PLANE, _count(tree.entries.get("control_plane")))]
    if "workers" in tree.entries or pools is None:
        counts.append(("workers", _count(tree.entries.get("workers"))))
    if isinstance(pools, Mapping):
        counts += [(name, _count(pool)) for name, pool in pools.entries.items()]
    return Named(clusters=(cluster.text,) if isinstance(cluster, Scalar) else (), counts=tuple(counts))


def _count(pool: Node | None) -> int:
    """A pool's count: a number alone, the key, or one."""
    node = pool.entries.get("count") if isinstance(pool, Mapping) else pool
    text = node.text if isinstance(node, Scalar) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1

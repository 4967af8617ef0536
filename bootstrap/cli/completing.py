"""Names for shell completion, from this computer's state and the inventory file; the network is not used.

Errors are not printed: the shell would show them in the middle of the command line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bootstrap.errors import HomelabError

if TYPE_CHECKING:
    from bootstrap.inventory.names import Named
    from bootstrap.model.ids import ClusterName

LATEST = "latest"
_WORD = re.compile(r"[\w.@\[\]-]+", re.ASCII)
"""zsh evaluates completions: a file's name or a kept key must not be more than a word."""


def cluster_names(context: typer.Context, incomplete: str) -> list[str]:
    """Clusters in the state directory and in the inventory."""
    return _beginning(lambda: {*_known_clusters(), *_named(context).clusters}, incomplete)


def pool_names(context: typer.Context, incomplete: str) -> list[str]:
    """The inventory's pools."""
    return _beginning(lambda: _named(context).pools, incomplete)


def machine_names(context: typer.Context, incomplete: str) -> list[str]:
    """Machines of the inventory, and machines with a stored host key."""

    def found() -> Iterator[str]:
        named = _named(context)
        for cluster in _clusters(context, named):
            yield from named.machines(cluster)
            yield from _met(cluster)

    return _beginning(found, incomplete)


def snapshot_names(context: typer.Context, incomplete: str) -> list[str]:
    """Snapshots on this computer; listing those on servers needs the network."""
    from bootstrap.adapters.local.state import default_state_root
    from bootstrap.commands.observing.local_snapshots import local_snapshots, snapshot_directory
    from bootstrap.model.ids import ClusterName

    def found() -> Iterator[str]:
        yield LATEST
        for cluster in _clusters(context, _named(context)):
            directory = snapshot_directory(default_state_root(), ClusterName(cluster))
            yield from (snapshot.name for snapshot in local_snapshots(directory))

    return _beginning(found, incomplete)


def key_names(incomplete: str) -> list[str]:
    """Keys of the inventory."""
    from bootstrap.inventory.describe.explain import all_keys

    return _beginning(all_keys, incomplete)


def _clusters(context: typer.Context, named: Named) -> tuple[str, ...]:
    """The cluster of the option, else of the inventory, else all known clusters."""
    said = context.params.get("cluster")
    return (str(said),) if said else named.clusters or _known_clusters()


def _known_clusters() -> tuple[ClusterName, ...]:
    from bootstrap.adapters.local.state import DirectoryStateStore, default_state_root

    return DirectoryStateStore(default_state_root()).clusters()


def _met(cluster: str) -> Iterator[str]:
    """Machines with a stored host key; such a file starts with the machine's name."""
    from bootstrap.adapters.local.state import DirectoryStateStore, default_state_root
    from bootstrap.inventory.regular import read_regular_text
    from bootstrap.model.ids import ClusterName

    directory = DirectoryStateStore(default_state_root()).directory(ClusterName(cluster))
    for path in directory.glob("known_hosts.*"):
        yield from read_regular_text(path).split()[:1]


def _named(context: typer.Context) -> Named:
    from bootstrap.inventory.names import names_in

    said = context.params.get("inventory")
    return names_in(Path(str(said)) if said else None)


def _beginning(find: Callable[[], Iterable[str]], incomplete: str) -> list[str]:
    """The names with this start that are words in every shell; after an error, those found before it."""
    found = set[str]()
    with suppress(HomelabError, OSError, ValueError):
        for name in find():
            found.add(name)
    return sorted(name for name in found if name.startswith(incomplete) and _WORD.fullmatch(name))

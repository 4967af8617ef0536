"""Names for shell completion: from this computer's state, the inventory file, and for a moment the Kubernetes API.

Nothing else is asked: no password manager, no keyring, no server that a file names. Nothing is written or locked.
Errors are not printed: the shell would show them in the middle of the command line.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bootstrap.errors import HomelabError

if TYPE_CHECKING:
    from bootstrap.inventory.names import Named
    from bootstrap.model.ids import ClusterName

LATEST = "latest"
CONTROL_PLANE = "control-plane"
_NODES = "/api/v1/nodes?limit=500"
_NAMESPACES = "/api/v1/namespaces?limit=500"
_SNAPSHOTS = "/apis/k3s.cattle.io/v1/etcdsnapshotfiles?limit=500"
_USERS = tuple(
    f"/apis/rbac.authorization.k8s.io/v1/{kind}?labelSelector=homelab-k8s/user&limit=500"
    for kind in ("clusterrolebindings", "rolebindings")
)
_WORD = re.compile(r"[\w.@+\[\]-]+", re.ASCII)
"""zsh evaluates completions: a file's name or a kept key must not be more than a word."""


def words(*known: str) -> Callable[[str], list[str]]:
    """Completes fixed words; where none fits, shells offer files."""
    return lambda incomplete: [word for word in known if word.startswith(incomplete)]


CHANNELS = words("latest", "stable", "testing")
"""Of k3s: https://docs.k3s.io/upgrades/manual#release-channels; those of minor versions would be asked for."""


def cluster_names(context: typer.Context, incomplete: str) -> list[str]:
    """Clusters in the state directory and in the inventory."""
    return _beginning(lambda: {*_known_clusters(), *_named(context).clusters}, incomplete)


def pool_names(context: typer.Context, incomplete: str) -> list[str]:
    """The inventory's pools, and those of the machines that are known."""

    def found() -> Iterator[str]:
        named = _named(context)
        yield from named.pools
        for cluster, machine in _machines(context, named):
            pool = machine.removeprefix(f"{cluster}-").rpartition("-")[0]
            yield CONTROL_PLANE if pool == "cp" else pool

    return _beginning(found, incomplete)


def machine_names(context: typer.Context, incomplete: str) -> list[str]:
    """Machines of the inventory, with a stored host key, or with a Kubernetes node; also `cp-1` for `demo-cp-1`."""

    def found() -> Iterator[str]:
        named = _named(context)
        for cluster, machine in _machines(context, named):
            yield machine
            if incomplete:
                yield machine.removeprefix(f"{cluster}-")

    return _beginning(found, incomplete)


def snapshot_names(context: typer.Context, incomplete: str) -> list[str]:
    """Snapshots on this computer, those last seen on servers, and those that k3s has records of (not with SQLite)."""
    from bootstrap.adapters.local.state import default_state_root
    from bootstrap.commands.observing.local_snapshots import local_snapshots, snapshot_directory
    from bootstrap.model.ids import ClusterName
    from bootstrap.records.state.snapshot_names import parse_names
    from bootstrap.records.state.state_items import SNAPSHOT_NAMES

    def found() -> Iterator[str]:
        yield LATEST
        clusters = _clusters(context, _named(context))
        for cluster in clusters:
            directory = snapshot_directory(default_state_root(), ClusterName(cluster))
            yield from (snapshot.name for snapshot in local_snapshots(directory))
            yield from parse_names(_kept(cluster, SNAPSHOT_NAMES), now_s=time.time())
        for snapshot in _asked(clusters, _SNAPSHOTS, metadata=False):
            yield snapshot["spec"]["snapshotName"]

    return _beginning(found, incomplete)


def namespace_names(context: typer.Context, incomplete: str) -> list[str]:
    """Kubernetes namespaces."""
    return _beginning(lambda: _names(_asked(_clusters(context, _named(context)), _NAMESPACES)), incomplete)


def user_names(context: typer.Context, incomplete: str) -> list[str]:
    """Users that kubeconfigs were issued to."""

    def found() -> Iterator[str]:
        for binding in _asked(_clusters(context, _named(context)), *_USERS):
            yield binding["metadata"]["labels"]["homelab-k8s/user"]

    return _beginning(found, incomplete)


def k3s_versions(incomplete: str) -> list[str]:
    """Releases that were downloaded."""
    import platformdirs

    def found() -> Iterator[str]:
        cache = platformdirs.user_cache_path("homelab-k8s", appauthor=False) / "k3s"
        yield from (path.name for path in cache.glob("v*") if path.is_dir())

    return _beginning(found, incomplete)


def run_names(incomplete: str) -> list[str]:
    """Recorded runs."""
    from bootstrap.cli.running.runs import recordings, runs_directory

    return _beginning(lambda: (path.stem for path in recordings(runs_directory())), incomplete)


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


def _kept(cluster: str, item: str) -> str | None:
    from bootstrap.adapters.local.state import DirectoryStateStore, default_state_root
    from bootstrap.model.ids import ClusterName

    return DirectoryStateStore(default_state_root()).read(ClusterName(cluster), item)


def _machines(context: typer.Context, named: Named) -> Iterator[tuple[str, str]]:
    """Machines that are known, each with its cluster."""
    clusters = _clusters(context, named)
    for cluster in clusters:
        yield from ((cluster, machine) for machine in (*named.machines(cluster), *_met(cluster)))
    for node in _names(_asked(clusters, _NODES)):
        yield from ((cluster, node) for cluster in clusters if node.startswith(f"{cluster}-"))


def _met(cluster: str) -> Iterator[str]:
    """Machines with a stored host key; such a file starts with the machine's name."""
    from bootstrap.adapters.local.state import DirectoryStateStore, default_state_root
    from bootstrap.inventory.regular import read_regular_text
    from bootstrap.model.ids import ClusterName

    directory = DirectoryStateStore(default_state_root()).directory(ClusterName(cluster))
    for path in directory.glob("known_hosts.*"):
        with suppress(OSError, ValueError):
            yield from read_regular_text(path).split()[:1]


def _asked(clusters: Sequence[str], *paths: str, metadata: bool = True) -> Iterator[Any]:
    """What the clusters' Kubernetes APIs answer at once; nothing of a cluster whose kubeconfig is not here."""
    from bootstrap.records.state.state_items import KUBECONFIG

    kubeconfigs = [text for cluster in clusters if (text := _kept(cluster, KUBECONFIG))]
    if kubeconfigs:
        from bootstrap.adapters.quick_names import items_within

        yield from items_within(kubeconfigs, *paths, metadata=metadata)


def _names(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        yield item["metadata"]["name"]


def _named(context: typer.Context) -> Named:
    from bootstrap.inventory.names import names_in

    said = context.params.get("inventory")
    return names_in(Path(str(said)) if said else None)


def _beginning(find: Callable[[], Iterable[str]], incomplete: str) -> list[str]:
    """The names with this start that are words in every shell; after an error, those found before it."""
    found = set[str]()
    with suppress(HomelabError, OSError, ValueError, KeyError, TypeError):
        for name in find():
            found.add(str(name))
    return sorted(name for name in found if name.startswith(incomplete) and _WORD.fullmatch(name))

"""What the shell completes names by: this computer's state and the inventory file; no network is asked.

The modules that read them are imported when names are wanted, which `--help` does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from bootstrap.inventory.names import Named
    from bootstrap.model.ids import ClusterName

LATEST = "latest"


def cluster_names(context: typer.Context, incomplete: str) -> list[str]:
    """Clusters that the state directory has, and the inventory's."""
    return _beginning({*_known_clusters(), *_named(context).clusters}, incomplete)


def pool_names(context: typer.Context, incomplete: str) -> list[str]:
    """The inventory's pools."""
    return _beginning(_named(context).pools, incomplete)


def machine_names(context: typer.Context, incomplete: str) -> list[str]:
    """Machines that the inventory counts, and those whose host keys are kept."""
    named = _named(context)
    found = set()
    for cluster in _clusters(context, named):
        found |= {*named.machines(cluster), *_met(cluster)}
    return _beginning(found, incomplete)


def snapshot_names(context: typer.Context, incomplete: str) -> list[str]:
    """Snapshots that were fetched to this computer; those on servers take a network."""
    from bootstrap.adapters.local.state import default_state_root
    from bootstrap.commands.snapshots import local_snapshots, snapshot_directory
    from bootstrap.model.ids import ClusterName

    found = {LATEST}
    for cluster in _clusters(context, _named(context)):
        directory = snapshot_directory(default_state_root(), ClusterName(cluster))
        try:
            found |= {snapshot.name for snapshot in local_snapshots(directory)}
        except OSError:
            continue
    return _beginning(found, incomplete)


def key_names(incomplete: str) -> list[str]:
    """Keys of the inventory."""
    from bootstrap.inventory.explain import all_keys

    return _beginning(all_keys(), incomplete)


def _clusters(context: typer.Context, named: Named) -> tuple[str, ...]:
    """The cluster that is meant: the option's, else the inventory's, else all that are known."""
    said = context.params.get("cluster")
    return (str(said),) if said else named.clusters or _known_clusters()


def _known_clusters() -> tuple[ClusterName, ...]:
    from bootstrap.adapters.local.state import DirectoryStateStore, default_state_root
    from bootstrap.errors import HomelabError

    try:
        return DirectoryStateStore(default_state_root()).clusters()
    except HomelabError:
        return ()


def _met(cluster: str) -> set[str]:
    """The machines whose host keys are kept; such a file begins with the machine's name."""
    from bootstrap.adapters.local.state import DirectoryStateStore, default_state_root
    from bootstrap.errors import HomelabError
    from bootstrap.inventory.regular import read_regular_text
    from bootstrap.model.ids import ClusterName

    try:
        directory = DirectoryStateStore(default_state_root()).directory(ClusterName(cluster))
        texts = [read_regular_text(path) for path in directory.glob("known_hosts.*")]
    except (HomelabError, OSError, UnicodeDecodeError):
        return set()
    return {text.split()[0] for text in texts if text.split()}


def _named(context: typer.Context) -> Named:
    from bootstrap.inventory.names import names_in

    said = context.params.get("inventory")
    return names_in(Path(str(said)) if said else None)


def _beginning(names: set[str] | tuple[str, ...], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))

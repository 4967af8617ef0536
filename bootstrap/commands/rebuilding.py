"""What is noted of a rebuild that is under way: `rebuild` writes it, `up` goes by it and clears it."""

from __future__ import annotations

from pathlib import Path

from bootstrap.commands.snapshots import local_snapshots
from bootstrap.errors import PreflightError
from bootstrap.execution.cluster_steps import REBUILD_NOTE
from bootstrap.execution.identity import IDENTITY
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from bootstrap.planning.rebuild import Rebuild, Stage, parse_rebuild, render_rebuild
from bootstrap.planning.snapshots import newest_first
from bootstrap.ports import Ports

SNAPSHOT_NAME = "rebuild"
"""What the name of a snapshot begins with that is taken for a rebuild."""


def read_rebuild(cluster: ClusterName, ports: Ports) -> Rebuild | None:
    """The rebuild that is under way, or None. Raises HomelabError for a damaged note."""
    return parse_rebuild(ports.state.read(cluster, REBUILD_NOTE))


def write_rebuild(cluster: ClusterName, rebuild: Rebuild, ports: Ports) -> None:
    """Note how far it has come."""
    ports.state.write(cluster, REBUILD_NOTE, render_rebuild(rebuild))


def rebuilding(spec: ClusterSpec, ports: Ports) -> ClusterSpec:
    """The spec, with what a rebuild that is under way is to keep."""
    rebuild = read_rebuild(spec.name, ports)
    return rebuild.apply(spec) if rebuild is not None else spec


def finish_rebuild(cluster: ClusterName, ports: Ports) -> None:
    """Forget the note and the saved CAs: the cluster stands."""
    for item in (REBUILD_NOTE, IDENTITY):
        if ports.state.read(cluster, item):
            ports.state.write(cluster, item, "")


def snapshot_of(rebuild: Rebuild) -> Path | None:
    """The snapshot whose data the new cluster gets, or None.

    Raises:
        PreflightError: It is not there (any more).
    """
    if rebuild.snapshot is None or rebuild.stage is not Stage.BUILDING:
        return None
    if rebuild.snapshot.is_file():
        return rebuild.snapshot
    taken = [each for each in local_snapshots(rebuild.snapshot) if each.name.startswith(f"{SNAPSHOT_NAME}-")]
    if not taken:
        raise PreflightError(
            "the snapshot that the cluster was to be rebuilt with is not there any more",
            details=str(rebuild.snapshot),
            resolution="put it there again; or, to build the cluster without that data, `homelab-k8s down`, then `up`",
        )
    return Path(newest_first(taken)[0].location)

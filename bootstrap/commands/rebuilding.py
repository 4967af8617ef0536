"""What is noted of a rebuild that is under way: `rebuild` writes it, `up` goes by it and clears it."""

from __future__ import annotations

from bootstrap.execution.cluster_steps import REBUILD_NOTE
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from bootstrap.planning.rebuild import Rebuild, parse_rebuild, render_rebuild
from bootstrap.ports import Ports

IDENTITY = "identity"
"""State item: the CAs that the next first server gets."""


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

"""The note of a rebuild in progress: `rebuild` writes it, `up` follows it and clears it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.commands.observing.local_snapshots import check_local, local_snapshots
from bootstrap.errors import PreflightError
from bootstrap.k3s.versions import check_not_older
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from bootstrap.model.machine import CONTROL_PLANE_POOL, RecordState, Role
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.snapshot_note import newest_first
from bootstrap.records.state.rebuild_note import RebuildNote, Stage, parse_rebuild, render_rebuild
from bootstrap.records.state.state_items import IDENTITY, REBUILD_NOTE

SNAPSHOT_NAME = "rebuild"
"""What the name of a snapshot begins with that is taken for a rebuild."""


def read_rebuild(cluster: ClusterName, ports: Ports) -> RebuildNote | None:
    """The rebuild in progress, or None. Raises HomelabError for a damaged note."""
    return parse_rebuild(ports.state.read(cluster, REBUILD_NOTE))


def write_rebuild(cluster: ClusterName, rebuild: RebuildNote, ports: Ports) -> None:
    """Note its progress."""
    ports.state.write(cluster, REBUILD_NOTE, render_rebuild(rebuild))


def under_way(view: ClusterView, ports: Ports) -> RebuildNote | None:
    """The rebuild that `up` has to finish, corrected by the inventory; None where there is none. Reads only.

    `up` abandons one that was interrupted while machines were removed, if the remaining servers have the data and a
    majority: the missing machines are created again. Otherwise only `rebuild` can bring the saved data back.

    Raises:
        PreflightError: Only `rebuild` can continue.
        HomelabError: The note is damaged.
    """
    noted = read_rebuild(view.spec.name, ports)
    if noted is None or noted.stage is Stage.BUILDING:
        return noted
    ours = [vm.name for vm in view.vms]
    if not ours:  # cut off after the last machine had gone
        return replace(noted, stage=Stage.BUILDING)
    if _can_serve(noted, view):
        return None
    raise PreflightError(
        f"a rebuild of {view.spec.name} was interrupted while its machines were being removed; nothing was changed",
        details=f"too few servers are left to serve its data; remaining: {', '.join(sorted(ours))}",
        resolution=Advice("`homelab-k8s rebuild` continues it with the saved data; `homelab-k8s down` aborts it"),
    )


def _can_serve(noted: RebuildNote, view: ClusterView) -> bool:
    servers = [
        record for _, record in view.machines if record.role is Role.CONTROL_PLANE and record.state is RecordState.MADE
    ]
    before = next((size.count for size in noted.pools if size.pool == CONTROL_PLANE_POOL), 1)
    return len(servers) > before // 2


def finish_rebuild(cluster: ClusterName, ports: Ports) -> None:
    """Forget the note and the saved CAs: the cluster is complete."""
    for item in (REBUILD_NOTE, IDENTITY):
        if ports.state.read(cluster, item):
            ports.state.write(cluster, item, "")


def snapshot_of(rebuild: RebuildNote, spec: ClusterSpec) -> Path | None:
    """The snapshot whose data the new cluster gets, or None.

    Raises:
        PreflightError: It does not exist (any more), is damaged, or newer than the k3s that is to read it.
    """
    if rebuild.snapshot is None:
        return None
    path = _snapshot_path(rebuild.snapshot)
    note = check_local(path, spec)
    if note is not None:
        check_not_older(
            rebuild.version,
            note.k3s_version,
            what=f"which {path.name} was taken with",
            remedy=version_remedy(spec, note.k3s_version),
        )
    return path


def version_remedy(spec: ClusterSpec, version: str) -> str:
    """How to make a rebuild use a k3s version."""
    flag = Advice("or pass `--k3s-version {}` to `homelab-k8s rebuild`", version)
    if spec.k3s.artifacts is not None:
        place = spec.k3s.artifacts / version
        return Advice("put the files of {} into {} and name it as k3s.version, {}", version, place, flag)
    return Advice("write `k3s: {{version: {}}}` (or a newer one) into the inventory, {}", version, flag)


def _snapshot_path(noted: Path) -> Path:
    """The file itself, or in a directory the newest snapshot that a rebuild took."""
    if noted.is_file():
        return noted
    taken = [each for each in local_snapshots(noted) if each.name.startswith(f"{SNAPSHOT_NAME}-")]
    if not taken:
        raise PreflightError(
            "the snapshot for the rebuild no longer exists",
            details=str(noted),
            resolution=Advice(
                "put it back, or use another one: `homelab-k8s rebuild --restore FILE`; to create the cluster "
                "without that data: `homelab-k8s down`, then `homelab-k8s up`"
            ),
        )
    return Path(newest_first(taken)[0].location)

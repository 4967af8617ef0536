"""`restore`: restores the cluster's data from a snapshot."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from bootstrap.advice import Advice
from bootstrap.commands.observing.local_snapshots import check_local, local_snapshot
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.preflight import observe_existing
from bootstrap.commands.observing.versions import server_versions
from bootstrap.commands.reports.snapshots import snapshots_of
from bootstrap.commands.verb import Verb
from bootstrap.errors import PreflightError
from bootstrap.k3s.versions import check_not_older, parse_version
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Snapshot
from bootstrap.planning.day2_steps import RestoreSnapshot
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.settings.snapshot_retention import location_in
from bootstrap.planning.verbs.restore import plan_restore
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.snapshot_note import (
    LATEST,
    SnapshotNote,
    find_snapshot,
    in_bucket,
    is_file_name,
    is_local,
    needed_bucket,
)
from bootstrap.records.state.intention import Intention


@dataclass(frozen=True, kw_only=True)
class Restore(Verb):
    """`restore`.

    Attributes:
        snapshot: A name that `backups` lists, `latest`, a place in the bucket (`s3://BUCKET/FOLDER/NAME`), or a path
            of a file here.
        directory: Where fetched snapshots are, such as `snapshot_directory`.
        server: The server to restore it on, or None to choose.
        from_bucket: Take the name as one in the inventory's bucket, listed or not.
    """

    snapshot: str
    directory: Path
    server: MachineName | None = None
    from_bucket: bool = False

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`: finds the snapshot, and checks a local one."""
        view = observe_existing(spec, ports)
        snapshot = _find(view, ports, self)
        if is_local(snapshot):
            _check_versions(check_local(Path(snapshot.location), spec), view, ports)
        return plan_restore(view, snapshot, server=self.server)

    def seen(self, plan: Plan) -> Self:
        """The snapshot that the user has confirmed, even if a newer one has been taken since."""
        return replace(self, snapshot=name_of(plan)) if self.snapshot == LATEST else self

    def spec_to_run(self, spec: ClusterSpec, ports: Ports) -> ClusterSpec:
        """The spec with existing sizes: the number of servers decides whether sqlite's data is migrated to etcd."""
        return with_existing_sizes(observe_cluster(spec, ports)).spec

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention:
        """The snapshot, by a name that works while k3s is stopped."""
        again = f"restore {shlex.quote(_again(plan, spec) or self.snapshot)}"
        return Intention(command="restore", again=again, since=ports.processes.utc_text())


def name_of(plan: Plan) -> str:
    """The snapshot that a plan restores: its name, or its file here; empty where it restores none."""
    return next((str(step.source) for step in steps_of(plan, RestoreSnapshot)), "")


def _again(plan: Plan, spec: ClusterSpec) -> str:
    """The snapshot's place in the bucket, if it is there: the bucket cannot be listed while k3s is stopped."""
    s3 = spec.backup.s3
    step = next((each for each in steps_of(plan, RestoreSnapshot) if each.s3), None)
    return location_in(replace(s3, folder=step.folder), str(step.source)) if s3 is not None and step is not None else ""


def _find(view: ClusterView, ports: Ports, restore: Restore) -> Snapshot:
    """The snapshot that the user asks for. Raises PreflightError."""
    spec, path = view.spec, Path(restore.snapshot).expanduser()
    if restore.from_bucket or restore.snapshot.startswith("s3://"):
        return _in_bucket(spec, restore.snapshot)
    if path.is_file():
        return local_snapshot(path.absolute())
    if not is_file_name(restore.snapshot):
        raise PreflightError(f"there is no file {path}")
    listed = snapshots_of(view, ports, directory=restore.directory)
    try:
        found = find_snapshot(restore.snapshot, listed.snapshots, cluster=spec.name)
    except PreflightError as error:
        if listed.problems:
            error.details = "\n".join([*listed.problems, error.details]).strip()
        raise
    if in_bucket(found):
        needed_bucket(spec)
    return found


def _in_bucket(spec: ClusterSpec, wanted: str) -> Snapshot:
    """A snapshot that may be listed nowhere, by a name in the inventory's folder or by its whole place."""
    bucket = needed_bucket(spec)
    place = wanted if wanted.startswith("s3://") else location_in(bucket, wanted)
    name = place.rpartition("/")[2]
    if not is_file_name(name) or not (wanted.startswith("s3://") or is_file_name(wanted)):
        raise PreflightError(f"{wanted!r} cannot be a snapshot's name")
    if not place.startswith(f"s3://{bucket.bucket}/"):
        raise PreflightError(
            f"{wanted} is not in the bucket {bucket.bucket}, which the inventory names",
            resolution="servers read from that bucket only: set the other one as backup.s3",
        )
    return Snapshot(name=name, machine=None, location=place)


def _check_versions(note: SnapshotNote | None, view: ClusterView, ports: Ports) -> None:
    """Refuse data that is newer than the k3s that is to read it. Raises PreflightError."""
    installed = server_versions(view, ports)
    if note is None or not installed:
        return
    check_not_older(
        min(installed, key=parse_version),
        note.k3s_version,
        what=f"which {note.name} was taken with",
        remedy=Advice(
            "`homelab-k8s upgrade --to {}` first, or restore an older snapshot; where no server "
            "runs any more: `homelab-k8s rebuild --restore FILE --k3s-version {}`",
            note.k3s_version,
            note.k3s_version,
        ),
    )

"""`restore`: the cluster's data as a snapshot has it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.run import run_locked
from bootstrap.commands.locked.unfinished import finish
from bootstrap.commands.observing.local_snapshots import local_snapshot
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.privileges import check_sight
from bootstrap.commands.snapshots import check_local, server_versions, snapshots_of
from bootstrap.errors import PreflightError
from bootstrap.events import EventSink
from bootstrap.execution.report import Report
from bootstrap.k3s.versions import check_not_older, parse_version
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Observed
from bootstrap.model.workloads import Snapshot
from bootstrap.planning.day2_steps import RestoreSnapshot
from bootstrap.planning.members.desired_machines import with_existing_sizes
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.provision.unfinished import Intention
from bootstrap.planning.settings.snapshot_retention import location_in
from bootstrap.planning.verbs.restore import plan_restore
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.snapshot_note import (
    SnapshotNote,
    find_snapshot,
    in_bucket,
    is_file_name,
    is_local,
    needed_bucket,
)


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """What is asked of `restore`.

    Attributes:
        snapshot: A name that `backups` lists, `latest`, a place in the bucket (`s3://BUCKET/FOLDER/NAME`), or a path
            of a file here.
        directory: Where fetched snapshots are, such as `snapshot_directory`.
        server: The server that is to get it, or None to choose.
        from_bucket: Take the name as one in the inventory's bucket, listed or not.
    """

    snapshot: str
    directory: Path
    server: MachineName | None = None
    from_bucket: bool = False


def prepare_restore(spec: ClusterSpec, ports: Ports, verb_options: RestoreOptions) -> Plan:
    """Observe, find the snapshot, check it where it is here, and plan. Touches nothing.

    Raises:
        PreflightError: There is no such snapshot, it is damaged or another cluster's, or no server can take it.
    """
    observed = observe_cluster(spec, ports)
    check_sight(spec, ports, observed.vms)
    snapshot = find(spec, ports, observed, verb_options)
    if is_local(snapshot):
        note = check_local(Path(snapshot.location), spec)
        _check_versions(note, spec, ports, observed)
    return plan_restore(
        ClusterView(with_existing_sizes(spec, observed), observed), snapshot, server=verb_options.server
    )


def run_restore(
    plan: Plan, spec: ClusterSpec, ports: Ports, verb_options: RestoreOptions, *, sink: EventSink, options: RunOptions
) -> Report:
    """Carry a plan of `prepare_restore` out. What is lost by it was confirmed before.

    Raises:
        ClusterBusyError: Somebody else works on the cluster; nothing was touched.
        HomelabError: It failed; the cluster may be down until `restore` is run again.
    """
    # How many servers there are decides whether sqlite's data moves on to etcd: as they stand, not only as stated.
    machine_state = with_existing_sizes(spec, observe_cluster(spec, ports))
    report = run_locked(
        plan,
        machine_state,
        ports,
        again=lambda: prepare_restore(spec, ports, verb_options),
        sink=sink,
        options=options,
        intention=Intention(
            command="restore",
            again=f"restore {shlex.quote(_again(plan, machine_state) or verb_options.snapshot)}",
            since=ports.processes.utc_text(),
        ),
    )
    finish(spec.name, ports)
    return report


def _again(plan: Plan, spec: ClusterSpec) -> str:
    """The snapshot's place in the bucket, if it lies there: while k3s is stopped nobody lists what is in it."""
    s3 = spec.backup.s3
    step = next((each for each in steps_of(plan, RestoreSnapshot) if each.s3), None)
    return location_in(replace(s3, folder=step.folder), str(step.source)) if s3 is not None and step is not None else ""


def find(spec: ClusterSpec, ports: Ports, observed: Observed, verb_options: RestoreOptions) -> Snapshot:
    """The snapshot that is meant. Raises PreflightError."""
    path = Path(verb_options.snapshot).expanduser()
    if verb_options.from_bucket or verb_options.snapshot.startswith("s3://"):
        return _in_bucket(spec, verb_options.snapshot)
    if path.is_file():
        return local_snapshot(path.absolute())
    if not is_file_name(verb_options.snapshot):
        raise PreflightError(f"there is no file {path}")
    listed = snapshots_of(spec, ports, observed, directory=verb_options.directory)
    try:
        found = find_snapshot(verb_options.snapshot, listed.snapshots, cluster=spec.name)
    except PreflightError as error:
        if listed.problems:
            error.details = "\n".join([*listed.problems, error.details]).strip()
        raise
    if in_bucket(found):
        needed_bucket(spec)
    return found


def _in_bucket(spec: ClusterSpec, wanted: str) -> Snapshot:
    """What is taken at its word, since it may be listed nowhere: a name in the inventory's folder, or a whole place."""
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


def _check_versions(note: SnapshotNote | None, spec: ClusterSpec, ports: Ports, observed: Observed) -> None:
    """Refuse data that is newer than the k3s that is to read it. Raises PreflightError."""
    installed = server_versions(spec, ports, observed)
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

"""`restore`: the cluster's data as a snapshot has it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from bootstrap.commands.act import run_locked
from bootstrap.commands.observe import observe_cluster
from bootstrap.commands.rights import check_sight
from bootstrap.commands.run import RunOptions
from bootstrap.commands.snapshots import check_local, local_snapshot, server_versions, snapshots_of
from bootstrap.commands.unfinished import finish
from bootstrap.errors import PreflightError
from bootstrap.events import EventSink
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Observed
from bootstrap.model.workloads import Snapshot
from bootstrap.planning.machines import settled
from bootstrap.planning.plan import Plan
from bootstrap.planning.restore import plan_restore
from bootstrap.planning.snapshots import SnapshotNote, find_snapshot, in_bucket, is_file_name, is_local, needed_bucket
from bootstrap.planning.unfinished import Intention
from bootstrap.planning.versions import check_not_older, parse_version
from bootstrap.ports import Ports


@dataclass(frozen=True, kw_only=True)
class RestoreWish:
    """What is asked of `restore`.

    Attributes:
        snapshot: A name that `backups` lists, `latest`, or a path of a file here.
        directory: Where fetched snapshots are, such as `snapshot_directory`.
        server: The server that is to get it, or None to choose.
        from_bucket: Take the name as one in the inventory's bucket, listed or not.
    """

    snapshot: str
    directory: Path
    server: MachineName | None = None
    from_bucket: bool = False


def prepare_restore(spec: ClusterSpec, ports: Ports, wish: RestoreWish) -> Plan:
    """Observe, find the snapshot, check it where it is here, and plan. Touches nothing.

    Raises:
        PreflightError: There is no such snapshot, it is damaged or another cluster's, or no server can take it.
    """
    observed = observe_cluster(spec, ports)
    check_sight(spec, ports, observed.vms)
    snapshot = find(spec, ports, observed, wish)
    if is_local(snapshot):
        note = check_local(Path(snapshot.location), spec)
        _check_versions(note, spec, ports, observed)
    return plan_restore(settled(spec, observed), observed, snapshot, server=wish.server)


def run_restore(
    plan: Plan, spec: ClusterSpec, ports: Ports, wish: RestoreWish, *, sink: EventSink, options: RunOptions
) -> Report:
    """Carry a plan of `prepare_restore` out. What is lost by it was confirmed before.

    Raises:
        ClusterBusyError: Somebody else works on the cluster; nothing was touched.
        HomelabError: It failed; the cluster may be down until `restore` is run again.
    """
    # How many servers there are decides whether sqlite's data moves on to etcd: as they stand, not only as stated.
    standing = settled(spec, observe_cluster(spec, ports))
    report = run_locked(
        plan,
        standing,
        ports,
        again=lambda: prepare_restore(spec, ports, wish),
        sink=sink,
        options=options,
        intention=Intention(
            command="restore",
            again=f"restore {shlex.quote(wish.snapshot)}{' --from-bucket' * wish.from_bucket}",
            since=ports.processes.utc_text(),
        ),
    )
    finish(spec.name, ports)
    return report


def find(spec: ClusterSpec, ports: Ports, observed: Observed, wish: RestoreWish) -> Snapshot:
    """The snapshot that is meant. Raises PreflightError."""
    path = Path(wish.snapshot).expanduser()
    if wish.from_bucket:
        bucket = needed_bucket(spec)
        if not is_file_name(wish.snapshot):
            raise PreflightError(f"{wish.snapshot!r} cannot be a snapshot's name")
        return Snapshot(name=wish.snapshot, machine=None, location=f"s3://{bucket.bucket}/{wish.snapshot}")
    if path.is_file():
        return local_snapshot(path.absolute())
    if not is_file_name(wish.snapshot):
        raise PreflightError(f"there is no file {path}")
    listed = snapshots_of(spec, ports, observed, directory=wish.directory)
    try:
        found = find_snapshot(wish.snapshot, listed.snapshots, cluster=spec.name)
    except PreflightError as error:
        if listed.problems:
            error.details = "\n".join([*listed.problems, error.details]).strip()
        raise
    if in_bucket(found):
        needed_bucket(spec)
    return found


def _check_versions(note: SnapshotNote | None, spec: ClusterSpec, ports: Ports, observed: Observed) -> None:
    """Refuse data that is newer than the k3s that is to read it. Raises PreflightError."""
    installed = server_versions(spec, ports, observed)
    if note is None or not installed:
        return
    check_not_older(
        min(installed, key=parse_version),
        note.k3s_version,
        what=f"which {note.name} was taken with",
        remedy=f"`homelab-k8s upgrade --to {note.k3s_version}` first, or restore an older snapshot; where no server "
        f"runs any more: `homelab-k8s rebuild --restore FILE --k3s-version {note.k3s_version}`",
    )

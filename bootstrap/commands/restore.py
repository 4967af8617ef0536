"""`restore`: the cluster's data as a snapshot has it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bootstrap.commands.act import run_locked
from bootstrap.commands.observe import observe_cluster
from bootstrap.commands.rights import check_sight
from bootstrap.commands.run import RunOptions
from bootstrap.commands.snapshots import local_snapshot, snapshots_of
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
from bootstrap.planning.snapshots import (
    NOTE,
    find_snapshot,
    in_bucket,
    is_file_name,
    is_local,
    needed_bucket,
    parse_note,
)
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
        check_local(Path(snapshot.location), spec)
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
    return run_locked(
        plan, standing, ports, again=lambda: prepare_restore(spec, ports, wish), sink=sink, options=options
    )


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


def check_local(path: Path, spec: ClusterSpec) -> None:
    """Hold a file against the note beside it. Raises PreflightError."""
    if not is_file_name(path.name):
        raise PreflightError(f"{path} cannot keep its name on a server", resolution="give it a plain name")
    beside = path.with_name(path.name + NOTE)
    note = parse_note(beside.read_text(encoding="utf-8")) if beside.is_file() else None
    if note is None:
        return
    if note.cluster != spec.name:
        raise PreflightError(
            f"{path.name} is a snapshot of the cluster {note.cluster}, not of {spec.name}",
            resolution=f"if that is meant, remove {beside}",
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != note.sha256:
        raise PreflightError(
            f"{path} is damaged: it is not the file that was fetched",
            details=f"sha256 {found}, not {note.sha256}",
            resolution="restore another snapshot: `homelab-k8s backups` lists them",
        )

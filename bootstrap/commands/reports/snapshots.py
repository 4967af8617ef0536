"""`backups`: lists snapshots on servers, in the bucket and on this computer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bootstrap.commands.observing.bucket import BucketList, bucket_of
from bootstrap.commands.observing.guests import Guest, ask, ask_all, server_guests
from bootstrap.commands.observing.local_snapshots import local_snapshots
from bootstrap.commands.observing.observe import ask_servers, observe_cluster
from bootstrap.errors import HomelabError, KubernetesError
from bootstrap.execution.guests.scripts import parse_lines
from bootstrap.execution.k3s.snapshot_names import keep_names
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import Snapshot
from bootstrap.model.words import count
from bootstrap.planning.settings.snapshot_retention import is_left_behind, is_own
from bootstrap.planning.view import ClusterView
from bootstrap.ports import GuestScript, Ports
from bootstrap.records.snapshot_note import (
    in_bucket,
    is_file_name,
    is_local,
    newest_first,
    parse_on_disk,
)


@dataclass(frozen=True, kw_only=True)
class SnapshotList:
    """All snapshots, newest first; the servers that could not be asked; notes on the bucket."""

    snapshots: tuple[Snapshot, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def list_snapshots(spec: ClusterSpec, ports: Ports, *, directory: Path) -> SnapshotList:
    """Every snapshot of the cluster. Changes nothing there; their names are kept here for shell completion.

    Fetched ones are in `directory`, such as `snapshot_directory`; it need not exist.
    """
    found = snapshots_of(observe_cluster(spec, ports, patient=False), ports, directory=directory)
    afar = [each.name for each in found.snapshots if not each.problem and not is_local(each)]
    keep_names(afar, spec.name, ports, further=bool(found.problems))
    return found


def snapshots_of(view: ClusterView, ports: Ports, *, directory: Path) -> SnapshotList:
    """The same, of a cluster that was observed."""
    spec = view.spec
    disks = ask_all(server_guests(view), lambda server: _on_server(server, spec, ports))
    found = [snapshot for disk in disks for snapshot in disk.snapshots]
    bucket = bucket_of(view, ports)
    afar = list(_afar(bucket, recorded_snapshots(view, ports) or (), spec))
    return SnapshotList(
        snapshots=newest_first([*found, *afar, *local_snapshots(directory)]),
        problems=tuple(disk.problem for disk in disks if disk.problem),
        notes=(*(disk.note for disk in disks if disk.note), *bucket.notes, *_left_behind(afar, spec)),
    )


def _afar(bucket: BucketList, recorded: Iterable[Snapshot], spec: ClusterSpec) -> Iterator[Snapshot]:
    """The cluster's own in the bucket, and those that only k3s knows: that failed, or all if the bucket was not listed.

    Disks are listed by the servers: k3s compares its records with them only every ten minutes.
    """
    listed = (each for each in recorded if each.problem or (in_bucket(each) and not bucket.complete))
    return (each for each in (*listed, *bucket.snapshots) if is_file_name(each.name) and is_own(each, spec))


def _left_behind(snapshots: Iterable[Snapshot], spec: ClusterSpec) -> tuple[str, ...]:
    """That some are where new ones are no longer stored, and what that means."""
    names = {each.name for each in snapshots if is_left_behind(each, spec)}
    s3 = spec.backup.s3
    if not names or s3 is None:
        return ()
    old = f"{count(len(names), 'snapshot')} at the top of the bucket {s3.bucket}, from before the folder {s3.folder}"
    stay = "`restore` accepts their names; k3s no longer lists or removes them"
    return (f"{old}: {stay} (`folder: /` under backup.s3 keeps using the top)",)


@dataclass(frozen=True, kw_only=True)
class _OnDisk:
    """The snapshots on a server's disk, or the problem that it could not be asked."""

    snapshots: tuple[Snapshot, ...] = ()
    note: str = ""
    problem: str = ""


def _on_server(server: Guest, spec: ClusterSpec, ports: Ports) -> _OnDisk:
    name = server.name
    try:
        lines = parse_lines(ask(server, GuestScript(name="list-snapshots.sh"), spec, ports))
    except HomelabError as error:
        return _OnDisk(problem=f"{name}: {error}")
    told = [parse_on_disk(line, name) for line in lines.get("snapshot", [])]
    snapshots = tuple(each for each in told if each is not None)
    odd = len(told) - len(snapshots)
    note = f"{count(odd, 'file')} among the snapshots of {name} ignored: not the name of a snapshot" if odd else ""
    return _OnDisk(snapshots=snapshots, note=note)


def recorded_snapshots(view: ClusterView, ports: Ports) -> tuple[Snapshot, ...] | None:
    """The snapshots that k3s has records of; None while its API does not answer."""
    if view.observed.kube_nodes is None:
        return None
    try:
        return ask_servers(view, ports, ask=lambda kube: kube.snapshots())
    except KubernetesError:
        return None

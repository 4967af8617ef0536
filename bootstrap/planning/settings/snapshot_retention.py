"""Which snapshots in a bucket are a cluster's own, and how many on-demand snapshots are kept. Pure.

k3s prunes only scheduled snapshots, whose names begin with `etcd-snapshot`, and keeps all others. It lists all files in
a bucket's folder, and prunes there by the beginning of a name alone (k3s: pkg/etcd/s3/s3.go): two clusters in one
folder take each other's snapshots for their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bootstrap.model.cluster import ClusterSpec, S3Spec
from bootstrap.model.ids import ClusterName, MachineName
from bootstrap.model.observed import Snapshot
from bootstrap.planning.day2_steps import Upload
from bootstrap.records.snapshot_note import in_bucket

KEPT_OF_UPGRADES = 5
"""Of the snapshots before upgrades, unless the inventory says otherwise."""

_UPGRADE = re.compile(r"before-v[0-9]+\.[0-9]+\.[0-9]+(?:-[a-z0-9.]+)?-k3s[0-9]+")
_TAIL = r"(?P<made>[0-9]{9,11})(?:\.sqlite|\.zip)?"


def before_upgrade(version: str) -> str:
    """What the snapshot before an upgrade to a version is called."""
    return f"before-{version}".replace("+", "-")


@dataclass(frozen=True, kw_only=True)
class SnapshotName:
    """A snapshot's name, taken apart: `KIND-SERVER-UNIXTIME`; `kind` is the same for all that `upgrade` takes."""

    kind: str
    server: MachineName
    made_s: int


def parse_name(name: str, cluster: ClusterName) -> SnapshotName | None:
    """A name that a server of this cluster has given; None for any other."""
    found = re.fullmatch(rf"(?P<kind>[a-z0-9][a-z0-9.-]*)-(?P<server>{re.escape(cluster)}-cp-[0-9]+)-{_TAIL}", name)
    if found is None:
        return None
    kind = "before-VERSION" if _UPGRADE.fullmatch(found["kind"]) else found["kind"]
    return SnapshotName(kind=kind, server=MachineName(found["server"]), made_s=int(found["made"]))


def location_in(s3: S3Spec, name: str) -> str:
    """Where a snapshot of this name is in a bucket's folder."""
    return f"s3://{s3.bucket}/{f'{s3.folder}/' if s3.folder else ''}{name}"


def folder_of(snapshot: Snapshot) -> str:
    """The folder in the bucket that a snapshot lies in; empty for the bucket's top."""
    key = snapshot.location.removeprefix("s3://").partition("/")[2]
    return key.rpartition("/")[0]


def is_own(snapshot: Snapshot, spec: ClusterSpec) -> bool:
    """Whether a snapshot that k3s lists is this cluster's: in a bucket there are others'.

    In a bucket it is one where the inventory has its folder, or at the top, where k3s puts them that has no folder; and
    a server of ours has made it. In the folder of the cluster's name all are.
    """
    if not in_bucket(snapshot):
        return True
    folder, s3 = folder_of(snapshot), spec.backup.s3
    if s3 is not None and folder not in (s3.folder, ""):
        return False
    if folder == spec.name:
        return True
    if snapshot.machine is not None:
        return re.fullmatch(rf"{re.escape(spec.name)}-cp-[0-9]+", snapshot.machine) is not None
    return parse_name(snapshot.name, spec.name) is not None


def is_left_behind(snapshot: Snapshot, spec: ClusterSpec) -> bool:
    """Whether it lies at the top of the bucket, though the inventory's folder is another one."""
    s3 = spec.backup.s3
    return in_bucket(snapshot) and s3 is not None and s3.folder != "" and folder_of(snapshot) == ""


def upload_of(spec: ClusterSpec, *, asked: bool) -> Upload:
    """Whether a snapshot goes to the bucket: it must where asked, else it is tried where there is a bucket."""
    if asked:
        return Upload.MUST
    return Upload.NO if spec.backup.s3 is None else Upload.TRY


def kept_on_demand(spec: ClusterSpec, *, upgrade: bool = False) -> int | None:
    """How many on-demand snapshots of one kind and server are kept; None for all."""
    default = KEPT_OF_UPGRADES if upgrade else None
    return spec.backup.on_demand_retention or default


def surplus(taken: str, there: Iterable[str], *, keep: int, cluster: ClusterName) -> tuple[str, ...]:
    """Names of surplus snapshots once another was taken, oldest first: of its kind and its server alone.

    Args:
        taken: The new one's name.
        there: Names of one place, on a server's disk or in the bucket, the new one's among them or not.
        keep: How many stay, the new one counted.
        cluster: The cluster's name.
    """
    new = parse_name(taken, cluster)
    if new is None:
        return ()
    named = {name: parse_name(name, cluster) for name in {*there, taken}}
    same = [
        (each.made_s, name)
        for name, each in named.items()
        if each is not None and (each.kind, each.server) == (new.kind, new.server) and name != taken
    ]
    newest_first = [name for _, name in sorted(same, reverse=True)]
    return tuple(reversed(newest_first[keep - 1 :]))


def surplus_here(kind: str, there: Iterable[str], *, keep: int, cluster: ClusterName) -> tuple[str, ...]:
    """Names of surplus snapshots of a kind in a local directory, oldest first: of all servers together.

    Args:
        kind: What their names begin with.
        there: The names of all files in the directory.
        keep: How many stay.
        cluster: The cluster's name.
    """
    parsed = [(parsed, name) for name in set(there) if (parsed := parse_name(name, cluster)) is not None]
    same = sorted((each.made_s, name) for each, name in parsed if each.kind == kind)
    return tuple(name for _, name in same[: max(len(same) - keep, 0)])

"""`backups`: what snapshots there are, on servers, in the bucket and here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.commands.observing.bucket import bucket_of, ready_server
from bootstrap.commands.observing.guests import logged_in
from bootstrap.commands.observing.local_snapshots import local_snapshots
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.errors import HomelabError, KubernetesError, PreflightError
from bootstrap.execution.guests.scripts import parse_lines
from bootstrap.inventory.regular import read_regular_text
from bootstrap.k3s.kubeconfig.build import with_server
from bootstrap.k3s.versions import is_release
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import Role
from bootstrap.model.observed import Observed, Snapshot, VmRecord
from bootstrap.model.words import count
from bootstrap.planning.settings.snapshot_retention import is_left_behind, is_own
from bootstrap.planning.view import ClusterView
from bootstrap.ports import GuestScript, Ports
from bootstrap.records.snapshot_note import (
    NOTE,
    SnapshotNote,
    in_bucket,
    is_file_name,
    newest_first,
    parse_note,
    parse_on_disk,
)
from bootstrap.records.state.state_items import KUBECONFIG

_THREADS = 8
_SCRIPT_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class SnapshotList:
    """All that were found, newest first, who could not be asked, and what there is to know about the bucket."""

    snapshots: tuple[Snapshot, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def list_snapshots(spec: ClusterSpec, ports: Ports, *, directory: Path) -> SnapshotList:
    """Every snapshot of the cluster. Reads only.

    Args:
        spec: The cluster.
        ports: Where to look.
        directory: Where fetched ones are, such as `snapshot_directory`; it need not be there.
    """
    return snapshots_of(spec, ports, observe_cluster(spec, ports, patient=False), directory=directory)


def snapshots_of(spec: ClusterSpec, ports: Ports, observed: Observed, *, directory: Path) -> SnapshotList:
    """The same, of a cluster that was observed."""
    servers = ClusterView(spec, observed).reachable_servers
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="snapshots") as pool:
        told = list(pool.map(lambda server: _on_server(server[0], server[1], spec, ports), servers))
    disks = [each for each in told if not isinstance(each, str)]
    bucket = bucket_of(spec, ports, observed)
    listed = _listed(_of_api(spec, ports, observed), complete=bucket.complete)
    afar = [each for each in (*listed, *bucket.snapshots) if is_file_name(each.name) and is_own(each, spec)]
    found = (snapshot for disk in disks for snapshot in disk.snapshots)
    return SnapshotList(
        snapshots=newest_first([*found, *afar, *local_snapshots(directory)]),
        problems=tuple(each for each in told if isinstance(each, str)),
        notes=(*(disk.note for disk in disks if disk.note), *bucket.notes, *_left_behind(afar, spec)),
    )


def _listed(told: Iterable[Snapshot], *, complete: bool) -> Iterator[Snapshot]:
    """What only k3s tells: snapshots in the bucket, unless that was read itself, and those that failed.

    What is on disks is told by the disks. Records may be of what no longer exists: k3s compares them every ten minutes.
    """
    return (each for each in told if each.problem or (in_bucket(each) and not complete))


def _left_behind(snapshots: Iterable[Snapshot], spec: ClusterSpec) -> tuple[str, ...]:
    """That some lie where new ones do not go any more, and what that means."""
    names = {each.name for each in snapshots if is_left_behind(each, spec)}
    s3 = spec.backup.s3
    if not names or s3 is None:
        return ()
    old = f"{count(len(names), 'snapshot')} at the top of the bucket {s3.bucket}, from before the folder {s3.folder}"
    stay = "`restore` accepts their names; k3s no longer lists or removes them"
    return (f"{old}: {stay} (`folder: /` under backup.s3 keeps using the top)",)


@dataclass(frozen=True, kw_only=True)
class _OnDisk:
    snapshots: tuple[Snapshot, ...]
    note: str = ""


def _on_server(vm: VmRecord, address: IPv4Address, spec: ClusterSpec, ports: Ports) -> _OnDisk | str:
    """The snapshots on a server's disk, or why it could not be asked."""
    if vm.record is None:  # cannot be: only machines of ours are asked
        raise AssertionError(vm)
    name = vm.record.machine
    try:
        with logged_in(vm, address, spec, ports) as shell:
            lines = parse_lines(shell.run(GuestScript(name="list-snapshots.sh"), timeout_s=_SCRIPT_TIMEOUT_S))
    except HomelabError as error:
        return f"{name}: {error}"
    told = [parse_on_disk(line, name) for line in lines.get("snapshot", [])]
    snapshots = tuple(each for each in told if each is not None)
    odd = len(told) - len(snapshots)
    note = f"{count(odd, 'file')} among the snapshots of {name} ignored: not the name of a snapshot" if odd else ""
    return _OnDisk(snapshots=snapshots, note=note)


def _of_api(spec: ClusterSpec, ports: Ports, observed: Observed) -> tuple[Snapshot, ...]:
    """What k3s tells of its snapshots; nothing while its API is away."""
    kubeconfig = ports.state.read(spec.name, KUBECONFIG)
    ready = ready_server(spec, observed)
    if kubeconfig is None or ready is None:
        return ()
    try:
        with closing(ports.kube.connect(with_server(kubeconfig, ready[1]))) as kube:
            return kube.snapshots()
    except KubernetesError:
        return ()


def check_local(path: Path, spec: ClusterSpec) -> SnapshotNote | None:
    """Hold a file against the note beside it; the note, or None where there is none.

    Raises:
        PreflightError: It is not there, cannot be read, is damaged, or is of another cluster.
    """
    if not is_file_name(path.name):
        raise PreflightError(f"{path} cannot keep its name on a server", resolution="give it a plain name")
    beside = path.with_name(path.name + NOTE)
    try:
        note = parse_note(read_regular_text(beside)) if beside.is_file() else None
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        raise PreflightError(
            f"the snapshot {path} cannot be read", details=str(error), resolution="make it and its note readable"
        ) from error
    if note is None:
        return None
    if note.cluster != spec.name:
        raise PreflightError(
            f"{path.name} is a snapshot of the cluster {note.cluster}, not of {spec.name}",
            resolution=f"if this is intended, remove {beside}",
        )
    if found != note.sha256:
        raise PreflightError(
            f"{path} is damaged: it differs from the file that was downloaded",
            details=f"sha256 {found}, not {note.sha256}",
            resolution=Advice("restore another snapshot: `homelab-k8s backups` lists them"),
        )
    return note


def server_versions(spec: ClusterSpec, ports: Ports, observed: Observed) -> tuple[str, ...]:
    """The k3s releases of the servers: as Kubernetes tells them, else as the machines themselves do. Reads only."""
    told = [node.version for node in observed.kube_nodes or () if "control-plane" in node.roles]
    if not told:
        servers = ClusterView(spec, observed).reachable_servers
        told = [_installed(vm, address, spec, ports) for vm, address in servers]
    return tuple(version for version in told if is_release(version))


def _installed(vm: VmRecord, address: IPv4Address, spec: ClusterSpec, ports: Ports) -> str:
    """The release on a server's disk; empty where it cannot be asked: then the run meets the same and says why."""
    try:
        with logged_in(vm, address, spec, ports) as shell:
            script = GuestScript(name="facts.sh", env=(("UNIT", Role.CONTROL_PLANE.unit),))
            facts = parse_lines(shell.run(script, timeout_s=_SCRIPT_TIMEOUT_S))
    except HomelabError:
        return ""
    if not any(facts.get("active_state", [])):
        return ""  # never installed: the binary came with the template, and no data is of its version
    return next(iter(facts.get("k3s_version", [])), "")

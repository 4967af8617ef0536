"""Snapshots on this computer. Imports little: the shell completes their names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.inventory.regular import read_regular_text
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from bootstrap.model.observed import Snapshot
from bootstrap.records.snapshot_note import NOTE, TOKEN, SnapshotNote, is_file_name, made_at, parse_note, snapshot_at


def snapshot_directory(state_root: Path, cluster: ClusterName) -> Path:
    """Where fetched snapshots go unless the user says otherwise. Not among the state that `down` removes."""
    return state_root / "snapshots" / cluster


def local_snapshots(directory: Path) -> tuple[Snapshot, ...]:
    """The snapshots in a directory here; one without a note is listed too, if its name has a time."""
    if not directory.is_dir():
        return ()
    files = [path for path in directory.iterdir() if path.is_file() and not path.name.startswith(".")]
    return tuple(
        local_snapshot(path)
        for path in files
        if not path.name.endswith((NOTE, TOKEN)) and (path.with_name(path.name + NOTE).is_file() or made_at(path.name))
    )


def local_snapshot(path: Path) -> Snapshot:
    """A file on this computer, with its note."""
    beside = path.with_name(path.name + NOTE)
    note = parse_note(_note_text(beside)) if beside.is_file() else None
    return snapshot_at(path, size=path.stat().st_size, note=note)


def _note_text(path: Path) -> str:
    """A note's text, empty where it cannot be read: the snapshot is listed all the same."""
    try:
        return read_regular_text(path)
    except (OSError, UnicodeDecodeError):
        return ""


def check_local(path: Path, spec: ClusterSpec) -> SnapshotNote | None:
    """Compare a file with the note beside it; the note, or None where there is none.

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

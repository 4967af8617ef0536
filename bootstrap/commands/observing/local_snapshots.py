"""Snapshots that lie on this computer. Loads little: the shell completes their names."""

from __future__ import annotations

from pathlib import Path

from bootstrap.inventory.regular import read_regular_text
from bootstrap.model.ids import ClusterName
from bootstrap.model.observed import Snapshot
from bootstrap.records.snapshot_note import NOTE, TOKEN, made_at, parse_note, snapshot_at


def snapshot_directory(state_root: Path, cluster: ClusterName) -> Path:
    """Where fetched snapshots go unless the user says otherwise. Not among the state that `down` removes."""
    return state_root / "snapshots" / cluster


def local_snapshots(directory: Path) -> tuple[Snapshot, ...]:
    """The snapshots in a directory here; one without a note is listed too, if its name tells when it was taken."""
    if not directory.is_dir():
        return ()
    files = [path for path in directory.iterdir() if path.is_file() and not path.name.startswith(".")]
    return tuple(
        local_snapshot(path)
        for path in files
        if not path.name.endswith((NOTE, TOKEN)) and (path.with_name(path.name + NOTE).is_file() or made_at(path.name))
    )


def local_snapshot(path: Path) -> Snapshot:
    """A file here, with what its note tells."""
    beside = path.with_name(path.name + NOTE)
    note = parse_note(_note_text(beside)) if beside.is_file() else None
    return snapshot_at(path, size=path.stat().st_size, note=note)


def _note_text(path: Path) -> str:
    """A note's text, empty where it cannot be read: the snapshot is listed all the same."""
    try:
        return read_regular_text(path)
    except (OSError, UnicodeDecodeError):
        return ""

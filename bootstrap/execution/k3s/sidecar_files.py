"""The small files that lie beside a snapshot that was fetched: its note, and its token."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.errors import GuestError, HomelabError
from bootstrap.records.snapshot_note import NOTE, TOKEN, SnapshotNote, is_file_name, parse_note

_MOST_NOTE_BYTES = 1 << 16


def place_for(directory: Path, note: SnapshotNote) -> Path:
    """Where a snapshot goes in a directory here. Its name is the server's word: it leads nowhere else.

    Raises:
        HomelabError: The name is no plain file name, or another file is in the way, or a link.
    """
    target = directory / note.name
    if not is_file_name(note.name) or target.parent != directory:
        raise HomelabError(f"{note.server}: {ascii(note.name)[:80]} cannot name a snapshot here")
    for path in (target, *(target.with_name(note.name + ending) for ending in (NOTE, TOKEN))):
        mode = _mode(path)
        if mode is not None and not (stat.S_ISREG(mode) and _is_ours(target, note)):
            raise HomelabError(
                f"{path} has the name of the snapshot {note.name} but is another file; it was not overwritten",
                resolution="move it away, or download to another directory (--to DIR)",
            )
    return target


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomelabError(f"cannot look at {path}", details=str(error)) from error


def _is_ours(target: Path, note: SnapshotNote) -> bool:
    """Whether the note of the very same snapshot lies there: it was fetched before, or half of it."""
    beside = target.with_name(note.name + NOTE)
    mode = _mode(beside)
    if mode is None or not stat.S_ISREG(mode):
        return False
    try:
        with beside.open("rb") as file:
            there = parse_note(file.read(_MOST_NOTE_BYTES).decode())
    except (OSError, UnicodeDecodeError):
        return False
    return there is not None and (there.name, there.cluster) == (note.name, note.cluster)


def put_in_place(part: Path, target: Path, note: SnapshotNote) -> None:
    """Give a file that was fetched its name, if it is what the server said that it took.

    Raises:
        GuestError: It is not.
        HomelabError: It cannot be read or moved.
    """
    try:
        size = part.stat().st_size
        if size != note.size:
            raise GuestError(
                f"{note.server}: {note.name} was not transferred completely", details=f"{size} of {note.size} bytes"
            )
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != note.sha256:
            raise GuestError(
                f"{note.server}: {note.name} differs from what the server took; it was not kept",
                details=f"sha256 {found}, not {note.sha256}",
                resolution=Advice(
                    "run `homelab-k8s backup` again; if that repeats, check the server's disk, and who has access to it"
                ),
            )
        part.replace(target)
    except OSError as error:
        raise HomelabError(f"cannot write {target}", details=str(error)) from error


def write_beside(snapshot: Path, ending: str, text: str) -> None:
    """Write `SNAPSHOT.ENDING`, mode 0600, at once whole; its directory is made, for the user alone.

    Raises:
        HomelabError: It cannot be written.
    """
    path = snapshot.with_name(snapshot.name + ending)
    part: Path | None = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        part = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        if part is not None:
            part.unlink(missing_ok=True)
        raise HomelabError(
            f"cannot write {path}",
            details=str(error),
            resolution="check the free disk space and the directory's permissions",
        ) from error

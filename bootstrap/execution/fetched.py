"""The small files that lie beside a snapshot that was fetched: its note, and its token."""

from __future__ import annotations

import os
from pathlib import Path

from bootstrap.errors import HomelabError


def write_beside(snapshot: Path, ending: str, text: str) -> None:
    """Write `SNAPSHOT.ENDING`, mode 0600, at once whole; its directory is made, for the user alone.

    Raises:
        HomelabError: It cannot be written.
    """
    path = snapshot.with_name(snapshot.name + ending)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise HomelabError(
            f"cannot write {path}", details=str(error), resolution="is there room, and is the directory writable?"
        ) from error

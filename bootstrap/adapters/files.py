"""Writing files that hold secrets or that others read at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700


def ensure_private_directory(path: Path) -> None:
    """Make a directory only the user can enter; parents that are missing become private, too."""
    if not path.is_dir():
        ensure_private_directory(path.parent)
        path.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file's content atomically, mode 0600: readers see the old text or the new one, never a part.

    Raises:
        OSError: The directory is missing, not writable or full; the old file is as it was.
    """
    # mkstemp makes the file 0600 before anything is in it.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory against other processes that use this function; the lock leaves no file and dies with us."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

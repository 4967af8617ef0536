"""A local file that is filled in parts from a machine: private, and complete or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bootstrap.adapters.local.files import PRIVATE_FILE
from bootstrap.errors import HomelabError


class LocalFile:
    """Made by `local_file`. Its errors are HomelabErrors, so that they do not count as the machine's."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def write(self, chunk: bytes) -> None:
        """Append. Raises HomelabError."""
        try:
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise _refused(self._path, error) from error

    def finish(self, target: Path) -> None:
        """Sync it to the disk, then rename it. Raises HomelabError."""
        try:
            os.fsync(self._descriptor)
            self._path.replace(target)
        except OSError as error:
            raise _refused(target, error) from error


@contextmanager
def local_file(path: Path) -> Iterator[LocalFile]:
    """A new file, mode 0600, which is removed at the end unless it was finished. Raises HomelabError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    except OSError as error:
        raise _refused(path, error) from error
    try:
        yield LocalFile(path, descriptor)
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            path.unlink()


def _refused(path: Path, error: OSError) -> HomelabError:
    return HomelabError(
        f"cannot write {path}",
        details=str(error),
        resolution="check the free disk space and the directory's permissions",
    )

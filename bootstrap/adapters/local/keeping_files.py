"""Writes other users' files: keeps owner, group, mode, attributes and links."""

from __future__ import annotations

import errno
import os
import sys
from io import FileIO
from pathlib import Path
from typing import Final

from bootstrap.adapters.local.files import PRIVATE_DIRECTORY, replace_file, write_private

_NOT_REPLACED: Final = (errno.EBUSY, errno.EPERM, errno.EACCES)
"""For a mount point, an owner that cannot be set, a directory that is not writable."""


def write_keeping(path: Path, text: str) -> None:
    """Replace a file's content; atomically, where that keeps everything else.

    A file that is bind-mounted, has several hard links, or whose owner cannot be kept otherwise is written in place,
    after space was reserved for it. A new file has mode 0600; root gives it to the directory's owner.

    Args:
        path: The file itself, no symbolic link to it.
        text: Its new content, as UTF-8.

    Raises:
        OSError: It cannot be written; the old content is unchanged.
    """
    try:
        there = path.stat()
    except FileNotFoundError:
        write_private(path, text)
        give_to_neighbours(path)
        return
    if there.st_nlink > 1:
        _overwrite(path, text, there)
        return
    try:
        replace_file(path, text.encode(), like=there)
    except OSError as error:
        if error.errno not in _NOT_REPLACED:
            raise
        _overwrite(path, text, there)


def make_parents(path: Path) -> None:
    """Create the missing directories above a file, private; root gives them away as `write_keeping` does."""
    for directory in reversed([parent for parent in path.parents if not parent.exists()]):
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        give_to_neighbours(directory)


def give_to_neighbours(path: Path) -> None:
    """Give what root has created to the directory's owner, so that `sudo` locks no user out of their home."""
    if os.geteuid() == 0:
        around = path.parent.stat()
        os.chown(path, around.st_uid, around.st_gid, follow_symlinks=False)


def _overwrite(path: Path, text: str, there: os.stat_result) -> None:
    content = text.encode()
    with path.open("r+b", buffering=0) as file:
        try:
            _reserve(file, len(content), there.st_size)
        except OSError:
            file.truncate(there.st_size)
            raise
        _write_all(file, content)
        file.truncate(len(content))
        os.fsync(file.fileno())


def _reserve(file: FileIO, size: int, there: int) -> None:
    """Have the disk keep room for a file to grow to a size in bytes. Raises OSError where it has none."""
    if sys.platform != "darwin":
        os.posix_fallocate(file.fileno(), 0, max(1, size))
    else:
        file.seek(there)
        _write_all(file, bytes(max(0, size - there)))
        file.seek(0)


def _write_all(file: FileIO, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += file.write(content[written:])

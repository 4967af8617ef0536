"""Writing files that belong to somebody else: owner, group, mode, attributes and links stay as they are."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from bootstrap.adapters.local.files import PRIVATE_DIRECTORY, replace_file, write_private

_NOT_REPLACED: Final = (errno.EBUSY, errno.EPERM, errno.EACCES)
"""Of a file that is a mount point, of an owner that cannot be given, of a directory that is not writable."""


def write_keeping(path: Path, text: str) -> None:
    """Replace a file's content; atomically, where that leaves all else as it is.

    A file that is bind-mounted, has several hard links, or whose owner cannot be kept otherwise is written in place:
    room for it is had first. A new file is mode 0600; made by root, it is the directory's owner's.

    Args:
        path: The file itself, no symbolic link to it.
        text: What is in it afterwards, as UTF-8.

    Raises:
        OSError: It cannot be written; the old content is as it was.
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
    """Make the directories above a file that are missing, for their user alone; as `write_keeping` gives files away."""
    for directory in reversed([parent for parent in path.parents if not parent.exists()]):
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        give_to_neighbours(directory)


def give_to_neighbours(path: Path) -> None:
    """Have what root made belong to the owner of the directory that it is in: `sudo` locks nobody out of their home."""
    if os.geteuid() == 0:
        around = path.parent.stat()
        os.chown(path, around.st_uid, around.st_gid, follow_symlinks=False)


def _overwrite(path: Path, text: str, there: os.stat_result) -> None:
    content = text.encode()
    with path.open("r+b", buffering=0) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, max(1, len(content)))
        except OSError:
            file.truncate(there.st_size)
            raise
        written = 0
        while written < len(content):
            written += file.write(content[written:])
        file.truncate(len(content))
        os.fsync(file.fileno())

"""Reads files that users name: up to a maximum size, and no devices or pipes, which may have no end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1024 * 1024
"""Of an inventory, a key, a token, a note."""


def read_regular(path: Path, *, most_bytes: int = MAX_BYTES) -> bytes:
    """A regular file's content. Follows links; opening never blocks.

    Args:
        path: The file.
        most_bytes: How large it may be.

    Raises:
        OSError: It cannot be read, is no regular file or too large, or its name is invalid (a NUL, too long).
    """
    try:
        # Non-blocking, since opening a pipe waits for a writer; the descriptor says what kind of file it is.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError:
        raise OSError(errno.EINVAL, "no file can have such a name", ascii(str(path))[:200]) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        found = b""
        while len(found) <= most_bytes and (part := os.read(descriptor, most_bytes + 1 - len(found))):
            found += part
    finally:
        os.close(descriptor)
    if len(found) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes} bytes", str(path))
    return found


def read_regular_text(path: Path, *, most_bytes: int = MAX_BYTES) -> str:
    """The same as UTF-8 text.

    Raises:
        OSError: As `read_regular`.
        UnicodeDecodeError: It is not UTF-8.
    """
    return read_regular(path, most_bytes=most_bytes).decode()

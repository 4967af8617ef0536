"""Writes files with secrets, and files that are read at the same time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bootstrap.errors import HomelabError

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
LOCK_FILE = ".homelab-k8s.lock"
_NO_DIRECTORY_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""The first is NFS's answer: its flock(2) is a lock of fcntl(2), which needs a file that is open for writing."""


def ensure_private_directory(path: Path) -> None:
    """Create a directory that only the user can enter; missing parents become private, too."""
    if not path.is_dir():
        ensure_private_directory(path.parent)
        path.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def check_own(*directories: Path) -> None:
    """Refuse the tool's directories where another user could write to them; a missing one is fine.

    Raises:
        HomelabError: One belongs to another user (or is another user's link), or others may write to it.
    """
    for directory in directories:
        try:
            facts = (directory.lstat(), directory.stat())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise HomelabError(f"cannot read the state directory {directory}", details=str(error)) from error
        problem = _not_own(*facts)
        if problem:
            path = shlex.quote(str(directory))
            raise HomelabError(
                f"the state directory {directory} can be changed by other users",
                details=problem,
                resolution="set XDG_STATE_HOME to a directory of your own; or check its contents, then: "
                f"chown -RhH {os.geteuid()} {path} && chmod -R go-w {path}",
            )


def _not_own(link: os.stat_result, there: os.stat_result) -> str:
    """Why other users could write to a directory; empty where they cannot."""
    for facts in (link, there):
        if facts.st_uid != os.geteuid():
            return f"it belongs to the user {facts.st_uid}, and you are {os.geteuid()}"
    loose = there.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return f"others can write to it (mode {stat.S_IMODE(there.st_mode):04o})" if loose else ""


def ensure_own_directory(path: Path) -> None:
    """Create a directory that only the user can enter, or make an existing one private; removes others' files in it.

    For files that can be fetched again; for others use `check_own`.

    Raises:
        OSError: It cannot be created, or is another user's, who may replace its files at any time.
    """
    ensure_private_directory(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user (uid {found.st_uid})")
        if stat.S_IMODE(found.st_mode) != PRIVATE_DIRECTORY:
            os.fchmod(descriptor, PRIVATE_DIRECTORY)
        for file in path.iterdir():
            if file.lstat().st_uid != os.geteuid():
                file.unlink()
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace a file's content atomically, mode 0600: readers see the old text or the new one, never a part.

    Raises:
        OSError: The directory is missing, not writable or full; the old file is unchanged.
    """
    replace_file(path, text.encode())


def replace_file(path: Path, content: bytes, *, like: os.stat_result | None = None) -> None:
    """Replace a file's content atomically.

    Args:
        path: The file itself, no symbolic link to it.
        content: Its new content.
        like: Its status before, to keep owner, mode and attributes; None for the user's own, mode 0600.

    Raises:
        OSError: It cannot be written, or the owner cannot be set; the old file is unchanged.
    """
    # mkstemp creates the file with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            if like is not None:
                made = os.fstat(file.fileno())
                if (made.st_uid, made.st_gid) != (like.st_uid, like.st_gid):
                    os.fchown(file.fileno(), like.st_uid, like.st_gid)
                shutil.copystat(path, temporary)  # the mode and, if any, ACLs and the SELinux label
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a directory against other processes that use this function; waits for them. The lock ends with the process.

    Local file systems lock the directory itself, also one that is not writable, and no file is left. NFS locks only
    what is open for writing (flock(2)): there the lock is on a file in the directory, which stays.

    Raises:
        OSError: There is no such directory, or it has no locks of either kind.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.nullcontext() if _locks(descriptor) else _locked_file(directory / LOCK_FILE):
            yield
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    """Lock a directory that is open; whether its file system can."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in _NO_DIRECTORY_LOCKS:
            return False
        raise
    return True


def _locked_file(path: Path) -> contextlib.AbstractContextManager[object]:
    from filelock import UnixFileLock

    # A soft lock, which is a file's being there, would outlive a process that is killed.
    return UnixFileLock(path, mode=PRIVATE_FILE, fallback_to_soft=False)

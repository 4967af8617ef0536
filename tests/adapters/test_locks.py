"""Locks between processes: where directories can be locked, and on NFS, where only files can."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap.adapters.local.files import LOCK_FILE, locked
from bootstrap.adapters.local.state import DirectoryStateStore
from bootstrap.errors import HomelabError
from bootstrap.model.ids import ClusterName

HOLD = """
import sys
from pathlib import Path
from bootstrap.adapters.local.files import locked
with locked(Path({directory!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
AS_ON_NFS = """
import errno, fcntl, os, stat
real = fcntl.flock
def flock(descriptor, operation):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return real(descriptor, operation)
fcntl.flock = flock
"""


def refusing(number: int, *, directories_only: bool) -> Callable[[int, int], None]:
    """flock of a file system without such locks."""
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) or not directories_only:
            raise OSError(number, os.strerror(number))
        real(descriptor, operation)

    return flock


@pytest.mark.parametrize("nfs", [False, True], ids=["local", "NFS"])
def test_a_lock_is_held_until_its_process_ends_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, nfs: bool
) -> None:
    code = (AS_ON_NFS if nfs else "") + HOLD.format(directory=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        place = tmp_path / LOCK_FILE if nfs else tmp_path
        descriptor = os.open(place, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        holder.kill()
    if nfs:
        monkeypatch.setattr(fcntl, "flock", refusing(errno.EBADF, directories_only=True))
    with locked(tmp_path):
        pass
    left = [LOCK_FILE] if nfs else []
    assert [each.name for each in tmp_path.iterdir()] == left
    assert [stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()] == [0o600] * len(left)


def test_where_nothing_can_be_locked_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file that may go stale takes the lock's place."""
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK, directories_only=False))
    with pytest.raises(HomelabError, match="cannot write the state file") as caught:
        DirectoryStateStore(tmp_path).put_first(ClusterName("demo"), "token", "x")
    assert "No locks available" in caught.value.details
    assert "XDG_STATE_HOME" in caught.value.resolution


def test_the_lock_of_a_state_directory_is_no_item_of_its(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.EBADF, directories_only=True))
    state = DirectoryStateStore(tmp_path)
    assert state.put_first(ClusterName("demo"), "token", "x") == "x"
    assert (state.directory(ClusterName("demo")) / LOCK_FILE).exists()
    assert state.forget(ClusterName("demo"), keep=["token"]) is False

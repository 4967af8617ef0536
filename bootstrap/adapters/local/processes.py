"""Who we are to others who work on the same cluster, and whether a process of this machine still lives."""

from __future__ import annotations

import getpass
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from bootstrap.ports import Process

_PROC = Path("/proc")
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"
_MOST_DIGITS = 10
"""Of a pid; the kernel's have seven."""
_START_TIME_FIELD = 19
"""Field 22 of /proc/PID/stat, counted from the third on: the process's name before it may hold blanks."""
_GONE = ("Z", "X")
"""States of a process that has ended and waits for its parent (zombie)."""


class LocalProcesses:
    """Implements `bootstrap.ports.Processes` by /proc; where there is none, marks are empty."""

    def this(self) -> Process:
        """See `bootstrap.ports.Processes.this`."""
        pid = os.getpid()
        return Process(who=f"{_user()}@{socket.gethostname()}", pid=pid, mark=_mark(pid) or "")

    def state(self, mark: str) -> bool | None:
        """See `bootstrap.ports.Processes.state`.

        A mark counts only for the same boot of the same kernel and the same PID namespace: another container's
        processes cannot be seen from here.
        """
        place = _place()
        if place is None or not mark.startswith(f"{place}/"):
            return None
        pid = mark.removeprefix(f"{place}/").partition("/")[0]
        return pid.isascii() and pid.isdecimal() and len(pid) < _MOST_DIGITS and _mark(int(pid)) == mark

    def utc_text(self) -> str:
        """See `bootstrap.ports.Processes.utc_text`."""
        return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

    def unix_s(self) -> float:
        """See `bootstrap.ports.Processes.unix_s`."""
        return time.time()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid without a name, and no environment either
        return str(os.getuid())


def _place() -> str | None:
    """This boot and this PID namespace, or None where there is no /proc."""
    try:
        return f"{_BOOT_ID.read_text(encoding='ascii').strip()}/{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def _mark(pid: int) -> str | None:
    """A process's mark; None where it has ended. Its start time distinguishes it from a later one of the same pid."""
    place = _place()
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    if place is None or state in _GONE:
        return None
    return f"{place}/{pid}/{fields[_START_TIME_FIELD - 1]}"

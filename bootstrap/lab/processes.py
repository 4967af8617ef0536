"""Identity of processes: a pid and its start time, since pids are used again."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

_START_FIELD = 19  # of /proc/PID/stat, counted after the command's closing bracket (proc(5): field 22)
_PROC = Path("/proc")
_LSTART = "%a %b %d %H:%M:%S %Y"  # as ps(1) of macOS and of procps prints it in the C locale


def process_start(pid: int) -> int | None:
    """Start time of a process, in clock ticks since boot, without /proc in Unix seconds; None where there is none."""
    if not (_PROC / "self").exists():
        return _start_by_ps(pid)
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[_START_FIELD])


def _start_by_ps(pid: int) -> int | None:
    """MacOS has no /proc."""
    command = ["ps", "-o", "state=", "-o", "lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    state, _, began = done.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else int(time.mktime(time.strptime(began.strip(), _LSTART)))


def is_running(pid: int, start: int) -> bool:
    """Whether this very process still runs."""
    return process_start(pid) == start

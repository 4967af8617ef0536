"""Identity of processes: a pid and its start time, since pids are used again."""

from __future__ import annotations

from pathlib import Path

_START_FIELD = 19  # of /proc/PID/stat, counted after the command's closing bracket (proc(5): field 22)


def process_start(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[_START_FIELD])


def is_running(pid: int, start: int) -> bool:
    """Whether this very process still runs."""
    return process_start(pid) == start

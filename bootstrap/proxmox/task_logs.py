"""Which line of a Proxmox task's log says why it failed. Pure.

A worker's exit status is what its last `die` said. Where a program it ran has failed, that is no more than its exit
code, and the program's own words stand in the log before it (qemu-server: `QEMU exited with code`; pve-common:
run_command's `command '...' failed: exit code`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_VAGUE = re.compile(
    r"QEMU exited with code|\bexit code \d+|unexpected status|got signal \d+|interrupted by signal"
    r"|^(?:start failed|clone failed|unable to create image)?:?\s*$"
)
"""Exit statuses that say that something failed, and not what."""

_NOISE = re.compile(
    r"^TASK |^\s*$|\bwarning\b|^WARN|^transferred |^drive-\w+: |^create (?:full|linked) clone|^Formatting "
    r"|^trying to acquire|^generating |^stopping swtpm|^(?:restoring|removing|allocat\w+) |successfully"
    r"|^Logical volume |^command '",
    re.IGNORECASE,
)

_CAUSE = re.compile(
    r"No space left|quota|out of space|insufficient free space|not enough (?:free )?space|Invalid CPU topology"
    r"|maxcpus must be|Cannot allocate memory|out of memory|Input/output error|Read-only file system"
    r"|^(?:kvm|qemu-img|qemu-system-\w+|qemu|swtpm\w*|lvcreate|zfs|rbd)\b.*: ",
    re.IGNORECASE,
)
"""What programs and the kernel say about the cause."""

_COMPLAINT = re.compile(
    r"error|fail|cannot|can't|could not|unable|invalid|denied|no such|not exist|not found|not supported|not allowed"
    r"|already exists|refused|timeout|timed out",
    re.IGNORECASE,
)


def cause_line(log: Sequence[str], *, exit_status: str) -> str:
    """The line that says why a task failed: its exit status, unless that is vague and the log has a better one.

    Args:
        log: The end of the task's log, oldest line first.
        exit_status: How the task ended.
    """
    if not _VAGUE.search(exit_status):
        return exit_status
    lines = [line.strip() for line in log if exit_status not in line and not _NOISE.search(line)]
    for wanted in (_CAUSE, _COMPLAINT):
        found = [line for line in lines if wanted.search(line)]
        if found:
            return found[-1]
    return exit_status

"""One command over an SSH connection that is open.

Not with Fabric's `run`: it starts threads for each command and asks a hundred times a second whether it has ended, so
that a command costs 3 ms of CPU, and one that waits costs more the longer it does (Fabric 3.2, invoke 2.2).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko

_CHUNK = 1 << 16
_LOOK_S = 1.0
"""While nothing is printed, standard error is looked after this often."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended.

    Attributes:
        status: None: not in time; -1: without a status, since the connection or a signal ended it.
    """

    status: int | None
    stdout: str
    stderr: str


def execute(transport: paramiko.Transport, command: str, *, timeout_s: float) -> Ended:
    """Run a command to its end, or for `timeout_s`; then it is left alone, and its channel closed.

    Raises:
        SSHException, EOFError, OSError: The connection is lost, or takes no command.
    """
    deadline_s = time.monotonic() + timeout_s
    channel = transport.open_session(timeout=timeout_s)
    try:
        channel.exec_command(command)
        stdout, stderr = bytearray(), bytearray()
        in_time = _read(channel, stdout, stderr, deadline_s)
        return Ended(
            status=channel.recv_exit_status() if in_time else None,
            stdout=stdout.decode(errors="replace"),
            stderr=stderr.decode(errors="replace"),
        )
    finally:
        channel.close()


def _read(channel: paramiko.Channel, stdout: bytearray, stderr: bytearray, deadline_s: float) -> bool:
    """Read all that is printed; whether the command has ended in time."""
    for receive, text in ((channel.recv, stdout), (channel.recv_stderr, stderr)):
        while True:
            left_s = deadline_s - time.monotonic()
            channel.settimeout(max(0.01, min(left_s, _LOOK_S)))
            try:
                chunk = receive(_CHUNK)
            except TimeoutError:
                # What the other stream holds must not fill the window, and keep the command from ending.
                while channel.recv_stderr_ready():
                    stderr += channel.recv_stderr(_CHUNK)
                if left_s <= 0:
                    return False
                continue
            if not chunk:
                break
            text += chunk
    return channel.status_event.wait(max(0.01, deadline_s - time.monotonic()))

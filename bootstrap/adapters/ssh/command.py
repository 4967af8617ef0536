"""One command over an SSH connection that is open.

Not with Fabric's `run`: it takes three threads for each command, asks 100 times a second whether it has ended, and
reads all that was printed again for each piece that comes (ADR 0035).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko

_CHUNK = 1 << 16
_LOOK_S = 1.0
"""While nothing is printed, standard error is read this often."""
MOST_BYTES = 16 << 20
"""What a command may print to standard output and standard error together. A machine is not trusted: without a limit it
fills this computer's memory in seconds."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended.

    Attributes:
        status: None: not in time; -1: without a status, since the connection or a signal ended it.
        endless: Whether it was stopped because it printed more than `MOST_BYTES`; the output up to then is kept.
    """

    status: int | None
    stdout: str
    stderr: str
    endless: bool = False

    @property
    def shown(self) -> str:
        """How it ended, in a few words."""
        if self.endless:
            return "stopped: printed too much"
        if self.status is None:
            return "not in time"
        return f"status {self.status}" if self.status >= 0 else "no status"


class _TooMuchError(Exception):
    """More was printed than is kept."""


def execute(transport: paramiko.Transport, command: str, *, timeout_s: float) -> Ended:
    """Run a command to its end, for `timeout_s`, or until it has printed too much; then its channel is closed.

    sshd hangs up on a command whose channel closes: one that goes on printing is ended by that.

    Raises:
        SSHException, EOFError, OSError: The connection is lost, or takes no command.
    """
    deadline_s = time.monotonic() + timeout_s
    channel = transport.open_session(timeout=timeout_s)
    try:
        channel.exec_command(command)
        stdout, stderr = bytearray(), bytearray()
        endless = False
        try:
            in_time = _read(channel, stdout, stderr, deadline_s)
        except _TooMuchError:
            in_time, endless = False, True
        return Ended(
            status=channel.recv_exit_status() if in_time else None,
            stdout=stdout.decode(errors="replace"),
            stderr=stderr.decode(errors="replace"),
            endless=endless,
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
                # A full window of the other stream would keep the command from ending.
                while channel.recv_stderr_ready():
                    stderr += channel.recv_stderr(_CHUNK)
                    _check_room(stdout, stderr)
                if left_s <= 0:
                    return False
                continue
            if not chunk:
                break
            text += chunk
            _check_room(stdout, stderr)
    return channel.status_event.wait(max(0.01, deadline_s - time.monotonic()))


def _check_room(stdout: bytearray, stderr: bytearray) -> None:
    if len(stdout) + len(stderr) > MOST_BYTES:
        raise _TooMuchError

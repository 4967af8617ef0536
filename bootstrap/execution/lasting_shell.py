"""A guest's shell that outlives its connection: what may be done twice is done again over a new one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bootstrap.errors import SshUnreachableError
from bootstrap.ports import CommandOutcome, GuestScript, GuestShell

T = TypeVar("T")

ATTEMPTS = 3
"""A connection that drops as often as this does not drop by chance."""

READS = frozenset(
    {
        "cloud-init-result.sh", "facts.sh", "journal.sh", "list-snapshots.sh", "read-identity.sh",
        "read-kubeconfig.sh", "read-token.sh", "readyz.sh", "secrets-status.sh", "unit-state.sh",
    }
)  # fmt: skip
"""Scripts that change nothing. One that installs may still be at work when its connection is gone."""


class LastingShell:
    """Implements `bootstrap.ports.GuestShell`; for one thread at a time.

    Args:
        shell: The first connection.
        connect: Logs in anew; raises what `bootstrap.ports.GuestShells.connect` does.
        warn: Told of each connection that was lost.
    """

    def __init__(self, shell: GuestShell, *, connect: Callable[[], GuestShell], warn: Callable[[str], None]) -> None:
        self._shell = shell
        self._connect = connect
        self._warn = warn

    @property
    def host_key(self) -> str:
        """See `bootstrap.ports.GuestShell.host_key`."""
        return self._shell.host_key

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        """See `bootstrap.ports.GuestShell.run`."""
        if script.name not in READS:
            return self._shell.run(script, timeout_s=timeout_s)
        return self._lastingly(lambda: self._shell.run(script, timeout_s=timeout_s))

    def upload(self, source: Path, *, name: str) -> None:
        """See `bootstrap.ports.GuestShell.upload`; a part that arrived is never taken for the whole."""
        self._lastingly(lambda: self._shell.upload(source, name=name))

    def download(self, name: str, *, target: Path) -> None:
        """See `bootstrap.ports.GuestShell.download`; a part that arrived is never taken for the whole."""
        self._lastingly(lambda: self._shell.download(name, target=target))

    def command(self, command: str, *, timeout_s: float) -> CommandOutcome:
        """See `bootstrap.ports.GuestShell.command`; it is run once, since nobody knows what it does."""
        return self._shell.command(command, timeout_s=timeout_s)

    def close(self) -> None:
        """See `bootstrap.ports.GuestShell.close`."""
        self._shell.close()

    def _lastingly(self, act: Callable[[], T]) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return act()
            except SshUnreachableError as error:
                self._warn(f"{error}; once more over a new connection")
                self._shell.close()
                self._shell = self._connect()
        return act()

"""A guest's shell that outlives its connection, and a reboot: what may be done twice is done again over a new one.

cloud-init's `power_state` reboots a machine at the end of its first boot, seconds after the first login.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bootstrap.errors import ScriptError, SshUnreachableError
from bootstrap.execution.guests.scripts import parse_lines
from bootstrap.ports import CommandOutcome, GuestScript, GuestShell

T = TypeVar("T")

ATTEMPTS = 3
"""A connection that drops as often as this does not drop by chance."""

READS = frozenset(
    {
        "cloud-init-result.sh", "facts.sh", "journal.sh", "list-snapshots.sh", "read-identity.sh",
        "read-kubeconfig.sh", "read-token.sh", "readyz.sh", "unit-state.sh",
    }
)  # fmt: skip
"""Scripts that change nothing. One that installs may still be at work when its connection is gone."""


REPEATED = frozenset(
    {"accept-ra.sh", "install-k3s.sh", "install-vip.sh", "prepare-system.sh", "put-manifests.sh", "start-k3s.sh"}
)
"""Scripts that change something, look first, and may be run again once it is sure that the first one has ended."""

_BY_SIGNALS = frozenset({-1, 129, 137, 143})
"""Statuses of a script that systemd ended since the machine goes down; sshd may have time to report it."""
_BOOT_S = 60.0


class ReconnectingShell:
    """Implements `bootstrap.ports.GuestShell`; for one thread at a time.

    Args:
        shell: The first connection.
        connect: Logs in again, for as long as a reboot takes; raises what `bootstrap.ports.GuestShells.connect` does.
        warn: Called for each connection that was lost.
        boot: What `facts.sh` calls this boot; empty where that is not known, and no reboot is followed.
        settle: Called after a reboot: waits until the machine has booted.
    """

    def __init__(
        self,
        shell: GuestShell,
        *,
        connect: Callable[[], GuestShell],
        warn: Callable[[str], None],
        boot: str = "",
        settle: Callable[[GuestShell], None] = lambda _shell: None,
    ) -> None:
        self._shell = shell
        self._connect = connect
        self._warn = warn
        self._boot = boot
        self._settle = settle
        self._sent: dict[str, Path] = {}

    @property
    def host_key(self) -> str:
        """See `bootstrap.ports.GuestShell.host_key`."""
        return self._shell.host_key

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        """See `bootstrap.ports.GuestShell.run`."""
        if script.name in READS:
            return self._until_done(lambda: self._shell.run(script, timeout_s=timeout_s))
        if script.name in REPEATED and self._boot:
            told = self._until_done(lambda: self._shell.run(script, timeout_s=timeout_s), reads=False)
        else:
            told = self._shell.run(script, timeout_s=timeout_s)
        self._sent.clear()  # it has taken what lay beside it
        return told

    def upload(self, source: Path, *, name: str) -> None:
        """See `bootstrap.ports.GuestShell.upload`; a part that arrived is never taken for the whole."""
        self._until_done(lambda: self._shell.upload(source, name=name))
        self._sent[name] = source

    def download(self, name: str, *, target: Path) -> None:
        """See `bootstrap.ports.GuestShell.download`; a part that arrived is never taken for the whole."""
        self._until_done(lambda: self._shell.download(name, target=target))

    def command(self, command: str, *, timeout_s: float) -> CommandOutcome:
        """See `bootstrap.ports.GuestShell.command`; it is run once, since what it does is not known."""
        return self._shell.command(command, timeout_s=timeout_s)

    def close(self) -> None:
        """See `bootstrap.ports.GuestShell.close`."""
        self._shell.close()

    def _until_done(self, act: Callable[[], T], *, reads: bool = True) -> T:
        """Do it until it is done, over new connections; what does not only read, where the first attempt has ended."""
        for _ in range(ATTEMPTS - 1):
            try:
                return act()
            except ScriptError as error:
                if error.status not in _BY_SIGNALS or not self._boot:
                    raise
                self._reconnect(str(error), resend=True)
            except SshUnreachableError as error:
                if not self._reconnect(str(error), resend=not reads) and not reads:
                    raise  # it may still be at work
        return act()

    def _reconnect(self, why: str, *, resend: bool) -> bool:
        """Log in again; whether the machine has rebooted since."""
        self._shell.close()
        self._shell = self._connect()
        boot = self._boot_now() if self._boot else ""
        rebooted = boot not in ("", self._boot)
        if rebooted:
            self._boot = boot
            self._warn("it has rebooted; continuing")
            self._settle(self._shell)
        else:
            self._warn(f"{why}; reconnecting")
        if resend:
            for name, source in self._sent.items():
                self._shell.upload(source, name=name)
        return rebooted

    def _boot_now(self) -> str:
        """What this boot is called; empty where the machine does not say."""
        try:
            told = self._shell.run(GuestScript(name="facts.sh"), timeout_s=_BOOT_S)
        except (ScriptError, SshUnreachableError):
            return ""
        return parse_lines(told).one("boot")

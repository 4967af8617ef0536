"""What the library needs of the guests: SSH, and scripts run over it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from bootstrap.model.ids import MachineName


@dataclass(frozen=True, kw_only=True)
class GuestScript:
    """One run of a script of `bootstrap/data/guest/` on a guest, as root.

    Attributes:
        name: File name, such as `install-k3s.sh`.
        env: Parameters; never secrets.
        secret_files: Remote file name (relative to the script's own directory) to content; written with mode
            0600 before the script starts; the script removes or moves them.
    """

    name: str
    env: tuple[tuple[str, str], ...] = ()
    secret_files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class CommandOutcome:
    """How a user's command ended on a machine."""

    status: int
    stdout: str
    stderr: str


class GuestShell(Protocol):
    """One SSH connection to a machine."""

    @property
    def host_key(self) -> str:
        """The host key that the machine has shown, as `ssh-ed25519 AAAA...`."""
        ...

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        """Run a script and return its stdout. Raises ScriptError (status, stderr in details), SshUnreachableError."""
        ...

    def upload(self, source: Path, *, name: str) -> None:
        """Put a local file beside the scripts (their working directory) under `name`, mode 0600, atomically."""
        ...

    def download(self, name: str, *, target: Path) -> None:
        """Fetch a file that a script has left beside the scripts into a local file, mode 0600, atomically.

        Raises:
            GuestError: There is none, or it did not arrive whole.
            SshUnreachableError: The connection broke.
        """
        ...

    def command(self, command: str, *, timeout_s: float) -> CommandOutcome:
        """Run a user's own command line as the login user, in its shell; its failure is no error.

        Raises:
            SshUnreachableError: The connection broke, or the time was up.
        """
        ...

    def close(self) -> None:
        """End the connection; safe to call twice."""
        ...


class GuestShells(Protocol):
    """Opens SSH connections."""

    @property
    def public_key(self) -> str:
        """The public key machines are given, as one `authorized_keys` line. Raises PreflightError, as `check`."""
        ...

    def check(self) -> str:
        """See that machines can be logged in to with the key, and say which it is, in a few words. Makes none.

        Raises:
            PreflightError: It is not there, no key, or one that neither its file nor the user's SSH agent can use.
        """
        ...

    def way(self, machine: MachineName, address: IPv4Address) -> tuple[str, ...]:
        """Arguments with which OpenSSH's client takes the same way to a machine: over the user's jump hosts, if any."""
        ...

    def connect(
        self, machine: MachineName, address: IPv4Address, *, user: str, host_key: str | None, timeout_s: float
    ) -> GuestShell:
        """Log in.

        Args:
            machine: For error texts.
            address: Where SSH listens, port 22.
            user: Login name; may use `sudo -n`.
            host_key: `ssh-ed25519 AAAA...`, or the fingerprint of a key (`SHA256:...`), to accept and no other; None
                accepts any (the caller warns, and keeps it).
            timeout_s: For connecting and logging in, in all.

        Raises:
            SshUnreachableError: Refused, timed out, reset: may pass while the machine boots.
            HostKeyError: Another host key than `host_key`.
            GuestError: The key was refused, or the machine asks for no key, and the like: final.
        """
        ...


class Tunnel(Protocol):
    """A port of this computer's loopback that leads to one place."""

    @property
    def port(self) -> int:
        """The port."""
        ...

    def hold(self, stop: threading.Event) -> None:
        """Keep the connection to the jump hosts until `stop` is set; one that is lost is made again."""
        ...

    def close(self) -> None:
        """End it, and all connections through it."""
        ...


class Ways(Protocol):
    """The way to machines and to the Kubernetes API: direct, or over jump hosts."""

    @property
    def direct(self) -> bool:
        """Whether no jump host is named, by the inventory or by the user's SSH configuration."""
        ...

    def check(self, address: IPv4Address | None, port: int) -> str:
        """Log in to the jump hosts on the way to a machine, see that they forward, and say which; empty if direct.

        Args:
            address: A machine's, which need not be there; None where none is known.
            port: A port of it.

        Raises:
            SshUnreachableError: One is not reached.
            GuestError: One refuses to log in or to forward, or shows another host key.
        """
        ...

    def over(self, host: str) -> str:
        """The jump hosts on the way to an address or name (`me@bastion`); empty if it is direct. Asks none of them."""
        ...

    def listen(self, host: str, port: int, *, local_port: int, tell: Callable[[str], None]) -> Tunnel:
        """Open a port on 127.0.0.1 that leads to a place.

        Args:
            host: The place's address or name; a name is looked up where the last jump host is.
            port: And its port.
            local_port: The port to open; 0 for any.
            tell: Is told of lost connections and of those that could not be passed on.

        Raises:
            HomelabError: A jump host or the place is not reached, or the local port is in use.
        """
        ...

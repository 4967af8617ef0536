"""The host key of the jump host that the inventory names: given there, else trusted on first use and kept."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.errors import HostKeyError
from bootstrap.model.access.endpoint import JumpHost
from bootstrap.model.ids import ClusterName
from bootstrap.records.state.host_key import known_hosts_name, parse_named_host_key, render_host_key
from bootstrap.records.state.state_items import JUMP_HOST_KEY

if TYPE_CHECKING:
    import paramiko

    from bootstrap.ports import StateStore


@dataclass(frozen=True, kw_only=True)
class Pin:
    """Which key a jump host may show.

    Attributes:
        jump: The jump host.
        given: The fingerprint in the inventory (`SHA256:...`); None: the first key that it shows counts.
        cluster: Whose state directory keeps the key.
        state: The state directory.
        tell: Is told of a key that is trusted on first use.
    """

    jump: JumpHost
    given: str | None
    cluster: ClusterName
    state: StateStore
    tell: Callable[[str], None]
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def path(self) -> Path:
        """The file with the key, as OpenSSH reads it."""
        return self.state.path(self.cluster, JUMP_HOST_KEY)

    @property
    def known_as(self) -> str:
        """The name that the key has in that file: another jump host starts anew."""
        return known_hosts_name(self.jump.host, self.jump.port)

    def kept(self) -> paramiko.PKey | None:
        """The key that is kept and counts; None where there is none."""
        key = _parsed(self._kept_text())
        return None if key is None or self.given not in (None, key.fingerprint) else key

    def meet(self, key: paramiko.PKey) -> None:
        """Compare the key that the jump host shows with what counts, and keep it. Raises HostKeyError for another."""
        shown = f"{key.get_name()} {key.get_base64()}"
        with self._lock:  # connections of several threads meet it at the same time
            if self.given is not None:
                if key.fingerprint != self.given:
                    raise self.refusal(self.given, key)
                self.state.write(self.cluster, JUMP_HOST_KEY, render_host_key(self.known_as, shown))
                return
            kept = self.kept()
            if kept is not None:
                if kept != key:
                    raise self.refusal(in_short(kept), key)
                return
            self.state.write(self.cluster, JUMP_HOST_KEY, render_host_key(self.known_as, shown))
        self.tell(
            f"the SSH host key of the jump host {self.jump} is trusted on first use: {in_short(key)}; any other key is "
            "refused from now on"
        )

    def refusal(self, expected: str, key: paramiko.PKey) -> HostKeyError:
        """The error for another key than the expected one."""
        remedy = (
            f"rm {shlex.quote(str(self.path))}" if self.given is None else "change ssh.jump_host_key in the inventory"
        )
        return HostKeyError(
            f"the SSH host key of the jump host {self.jump} is not the expected one",
            details=f"expected {expected}\nfound {in_short(key)}",
            resolution="another machine may have its address now; if it has a new key, compare the one found with the "
            f"output of `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there, then: {remedy}",
        )

    def _kept_text(self) -> str | None:
        return parse_named_host_key(self.state.read(self.cluster, JUMP_HOST_KEY), self.known_as)


def in_short(key: paramiko.PKey) -> str:
    """A key in the form that people compare: `ssh-ed25519 SHA256:...`."""
    return f"{key.get_name()} {key.fingerprint}"


def _parsed(text: str | None) -> paramiko.PKey | None:
    """The key; None where there is none, or the file was damaged."""
    import paramiko
    from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

    try:
        entry = HostKeyEntry.from_line(f"any {text}") if text else None
    except (InvalidHostKey, paramiko.SSHException, ValueError):
        entry = None
    return entry.key if entry is not None else None

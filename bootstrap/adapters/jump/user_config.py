"""The jump hosts to machines, from the user's `~/.ssh/config`: ProxyJump, and nothing else of it.

OpenSSH itself evaluates its configuration (`ssh -G`), since only it handles Include, Match and tokens as it does. Where
it cannot read the file, or is not installed, the connection is direct.
"""

from __future__ import annotations

import logging
import os
import pwd
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bootstrap.adapters.jump.pin import Pin
from bootstrap.errors import GuestSetupError
from bootstrap.model.access.endpoint import JumpHost

logger = logging.getLogger(__name__)

_ANSWERS_WITHIN_S = 10.0
"""`Match exec` runs what the user has written there."""
_ENVIRONMENT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SSH_AUTH_SOCK")
"""The environment of those programs; it has no token of Proxmox VE."""
_MOST_HOPS = 8
_DIRECT = "none"
_NEEDED = ("proxyjump", "include")
"""A file without these words names no jump host."""

Settings = dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Hop:
    """A jump host, as OpenSSH would log in to it.

    Attributes:
        name: As the user's configuration calls it: `ssh NAME` goes there.
        known_hosts: Files with its host key.
        known_as: The name that it is filed under there; empty for `host`.
        pin: What its host key is compared with instead; None for one of the user's configuration.
    """

    name: str
    host: str
    port: int
    user: str
    identities: tuple[Path, ...]
    known_hosts: tuple[Path, ...]
    known_as: str = ""
    pin: Pin | None = None

    @property
    def target(self) -> str:
        """The arguments with which `ssh` goes there."""
        if self.pin is None:
            return self.name
        jump = self.pin.jump
        return f"{f'-p {jump.port} ' if jump.port != 22 else ''}{jump.user}@{jump.host}"

    def __str__(self) -> str:
        """`bastion (admin@192.0.2.9:2222)`; as in the inventory, if it is from there."""
        if self.pin is not None:
            return str(self.pin.jump)
        return f"{self.name} ({self.user}@{self.host}:{self.port})"


class UserSshConfig:
    """What OpenSSH's client would do.

    Args:
        path: The file, read alone; None for the user's, with the system's behind it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file = path or Path(pwd.getpwuid(os.getuid()).pw_dir, ".ssh", "config")
        self._named = () if path is None else ("-F", str(path))
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, ...], Settings | None] = {}

    @property
    def silent(self) -> bool:
        """Whether it names no jump host at all."""
        return not self._may_name_a_way()

    def hops(self, targets: Iterable[str]) -> tuple[Hop, ...]:
        """The jump hosts on the way to a place with these names, the first that has any; none where it is direct.

        Raises:
            GuestSetupError: They form a circle.
        """
        known = tuple(targets)
        jump = self._jump(known) if self._may_name_a_way() else ""
        hops = self._chain(jump, known[-1]) if jump else []
        # The jump host may be a machine that its own pattern matches: it is reached directly.
        return () if any(hop.host in known for hop in hops) else tuple(hops)

    def hops_over(self, jump: JumpHost) -> tuple[Hop, ...]:
        """The inventory's jump host as `ssh user@host` would log in to it; before it, those on the way to it."""
        host = f"[{jump.host}]" if ":" in jump.host else jump.host
        *before, last = self._chain(f"{jump.user}@{host}:{jump.port}", str(jump))
        own = (last.host, last.port)
        return (*(() if any((hop.host, hop.port) == own for hop in before) else before), last)

    def options(self, targets: Iterable[str]) -> tuple[str, ...]:
        """Arguments for OpenSSH's client: the same jump hosts, also where it cannot read its file.

        With a ProxyJump it ignores any ProxyCommand, but from OpenSSH 10 on not with `none`; a ProxyCommand of `none`
        leaves out both (readconf.c: oProxyCommand, parse_jump). Tried with 9.2 and 10.0.
        """
        known = tuple(targets)
        if not self._file.exists():
            return ()
        if not self.readable(known[0]):
            return ("-F", "none")
        jump = self._jump(known)
        return ("-o", f"ProxyJump={jump}" if jump and self.hops(known) else "ProxyCommand=none")

    def readable(self, target: str) -> bool:
        """Whether OpenSSH can read the file for a target."""
        return self._ask(target) is not None

    def _may_name_a_way(self) -> bool:
        try:
            text = self._file.read_text(errors="replace").lower()
        except OSError:
            return False
        return any(word in text for word in _NEEDED)

    def _jump(self, targets: Iterable[str]) -> str:
        for target in targets:
            jump = _first(self._ask(target) or {}, "proxyjump")
            if jump and jump != _DIRECT:
                return jump
        return ""

    def _chain(self, jump: str, subject: str, depth: int = 0) -> list[Hop]:
        """The hops of a `ProxyJump`; the first one's own hops come before it, as in OpenSSH."""
        if depth == _MOST_HOPS:
            raise GuestSetupError(
                f"{subject}: the jump hosts on the way there lead to one another",
                details=f"{self._file} has a ProxyJump for {jump}, and so on",
                resolution="put `ProxyJump none` into the Host of the first jump host",
            )
        first, *others = jump.split(",")
        hop, own = self._hop(first)
        before = self._chain(own, subject, depth + 1) if own not in ("", _DIRECT, first) else []
        return [*before, hop, *(self._hop(each)[0] for each in others)]

    def _hop(self, text: str) -> tuple[Hop, str]:
        """A jump host, and its own `ProxyJump`."""
        user, _, place = text.rpartition("@")
        host, port = _split(place)
        wanted = [*(("-l", user) if user else ()), *(("-p", port) if port else ())]
        settings = self._ask(host, *wanted) or {}
        hop = Hop(
            name=host,
            host=_first(settings, "hostname") or host,
            port=int(_first(settings, "port") or port or 22),
            user=_first(settings, "user") or user,
            identities=_paths(settings.get("identityfile", [])),
            known_hosts=_paths(
                word for key in ("userknownhostsfile", "globalknownhostsfile") for word in _first(settings, key).split()
            ),
            known_as=_first(settings, "hostkeyalias"),
        )
        return hop, _first(settings, "proxyjump")

    def _ask(self, target: str, *options: str) -> Settings | None:
        """The output of `ssh -G` for a target; None where it fails."""
        asked = (target, *options)
        with self._lock:
            if asked not in self._asked:
                self._asked[asked] = self._told(target, options)
            return self._asked[asked]

    def _told(self, target: str, options: tuple[str, ...]) -> Settings | None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            done = subprocess.run(
                ["ssh", *self._named, "-T", "-G", *options, "--", target],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env=environment,
                stdin=subprocess.DEVNULL,
                timeout=_ANSWERS_WITHIN_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            logger.warning("OpenSSH does not report the way to %s: %s", target, error)
            return None
        if done.returncode != 0:
            logger.warning("OpenSSH does not report the way to %s: %s", target, done.stderr.strip())
            return None
        settings: Settings = {}
        for line in done.stdout.splitlines():
            key, _, value = line.partition(" ")
            settings.setdefault(key, []).append(value.strip())
        return settings


def _first(settings: Settings, key: str) -> str:
    return next(iter(settings.get(key, [])), "")


def _split(place: str) -> tuple[str, str]:
    """Host and port of `host`, `host:port`, `[2001:db8::1]:port`."""
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        return host, rest.removeprefix(":")
    host, colon, port = place.rpartition(":")
    return (host, port) if colon and ":" not in host else (place, "")


def _paths(words: Iterable[str]) -> tuple[Path, ...]:
    """The files that exist; `~` is the home directory that OpenSSH uses, whatever $HOME says."""
    home = pwd.getpwuid(os.getuid()).pw_dir
    found = (Path(f"{home}/{word.removeprefix('~/')}" if word.startswith("~/") else word) for word in words)
    return tuple(path for path in found if path.is_file())

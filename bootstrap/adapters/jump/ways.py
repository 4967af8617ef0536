"""Which way leads to a machine or to the Kubernetes API: the inventory's jump host, the user's, or none."""

from __future__ import annotations

import contextlib
import shlex
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.adapters.jump.carrier import Carrier
from bootstrap.adapters.jump.errors import NotReachedFromHopError
from bootstrap.adapters.jump.user_config import Hop, UserSshConfig
from bootstrap.errors import HomelabError
from bootstrap.model.ids import MachineName

if TYPE_CHECKING:
    from bootstrap.adapters.jump.pin import Pin
    from bootstrap.adapters.jump.tunnel import LocalTunnel

_CHECK_S = 4.0
_LISTEN_S = 10.0
_USUAL = (".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa")
"""Where OpenSSH is not installed and tells no IdentityFile."""


class Ways:
    """Every connection to machines of a cluster asks here first; implements `bootstrap.ports.Ways`.

    Args:
        config: The user's SSH configuration; None: it is not looked at.
        pin: The inventory's jump host and its key; None where it names none.
        identity: The cluster's key, which the inventory's jump host is offered first.
        named: A machine's name that patterns of the configuration may match, for places that are no machine.
    """

    def __init__(
        self,
        config: UserSshConfig | None = None,
        *,
        pin: Pin | None = None,
        identity: Path | None = None,
        named: str = "",
    ) -> None:
        self._config = config
        self._pin = pin
        self._identity = identity
        self._named = named
        self._lock = threading.Lock()
        self._carriers: dict[tuple[str, ...], Carrier] = {}

    @property
    def direct(self) -> bool:
        """Whether no jump host is named anywhere."""
        return self._pin is None and (self._config is None or self._config.silent)

    def hops(self, host: str, *, machine: str = "") -> tuple[Hop, ...]:
        """The jump hosts on the way to an address or name; none where it is direct.

        Raises:
            GuestSetupError: The user's jump hosts form a circle.
        """
        if self._pin is not None:
            hops = self._pinned(self._pin)
            # The jump host may be one of the machines.
            return () if any(hop.host == host for hop in hops) else hops
        if self._config is None:
            return ()
        return self._config.hops(_targets(host, machine or self._named))

    def over(self, host: str) -> str:
        """See `bootstrap.ports.Ways.over`."""
        return ", then ".join(map(str, self.hops(host)))

    def listen(self, host: str, port: int, *, local_port: int, tell: Callable[[str], None]) -> LocalTunnel:
        """See `bootstrap.ports.Ways.listen`."""
        from bootstrap.adapters.jump.tunnel import LocalTunnel

        hops = self.hops(host)
        carrier = Carrier(hops) if hops else None
        try:
            if carrier is not None:
                carrier.connect((host, port), timeout_s=_LISTEN_S).close()
            else:
                socket.create_connection((host, port), timeout=_LISTEN_S).close()
            return LocalTunnel(carrier, (host, port), port=local_port, tell=tell)
        except OSError as error:
            raise HomelabError(f"{host}:{port} is not reached", details=str(error)) from error
        except HomelabError:
            if carrier is not None:
                carrier.close()
            raise

    def check(self, address: IPv4Address | None, port: int) -> str:
        """See `bootstrap.ports.Ways.check`."""
        host = str(address or "")
        hops = self.hops(host)
        if not hops:
            return ""
        carrier = self._carrier(hops)
        carrier.log_in()
        with contextlib.suppress(NotReachedFromHopError):  # it forwards; the machine may not be there yet
            carrier.connect((host or "127.0.0.1", port), timeout_s=_CHECK_S).close()
        return self.over(host)

    def options(self, machine: MachineName, address: IPv4Address) -> tuple[str, ...]:
        """Arguments for OpenSSH's client, which then takes the same way.

        Raises:
            HomelabError: The inventory's jump host is met for the first time, and is not reached or refused.
        """
        config = self._config or UserSshConfig()
        if self._pin is None or not self.hops(str(address)):
            return config.options(_targets(str(address), machine)) if self._config is not None else ()
        if self._pin.kept() is None:
            self._carrier(self._pinned(self._pin)).log_in()
        return ("-o", f"ProxyCommand={_proxy_command(self._pin, self._identity, config)}")

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A connection to a place.

        Raises:
            OSError: Without jump hosts.
            HomelabError: Over them; it says which one failed, or that the place is not reached from there.
        """
        hops = self.hops(host)
        if not hops:
            return socket.create_connection((host, port), timeout=timeout_s)
        sock = self._carrier(hops).connect((host, port), timeout_s=timeout_s)
        sock.settimeout(timeout_s)
        return sock

    def close(self) -> None:
        """End the connections that are kept."""
        with self._lock:
            for carrier in self._carriers.values():
                carrier.close()
            self._carriers.clear()

    def _carrier(self, hops: tuple[Hop, ...]) -> Carrier:
        with self._lock:
            return self._carriers.setdefault(tuple(map(str, hops)), Carrier(hops))

    def _pinned(self, pin: Pin) -> tuple[Hop, ...]:
        *before, last = (self._config or UserSshConfig()).hops_over(pin.jump)
        own = (self._identity,) if self._identity is not None else ()
        files = (*own, *(last.identities or (Path.home() / each for each in _USUAL)))
        present = tuple(path for path in dict.fromkeys(files) if path.is_file())
        return (*before, replace(last, identities=present, known_hosts=(), known_as="", pin=pin))


def _targets(host: str, machine: str) -> tuple[str, ...]:
    return tuple(filter(None, (host, machine)))


def _proxy_command(pin: Pin, identity: Path | None, config: UserSshConfig) -> str:
    """The command by which OpenSSH goes over the inventory's jump host, with the key that we keep and no other."""
    jump = pin.jump
    readable = config.readable(jump.host)
    words = [
        "ssh",
        *(() if readable else ("-F", "none")),
        *("-o", f'UserKnownHostsFile="{_quoted(pin.path)}"'),
        *("-o", "GlobalKnownHostsFile=/dev/null"),
        *("-o", "StrictHostKeyChecking=yes"),
        *("-o", f"HostKeyAlias={pin.known_as}"),
        *(("-i", str(identity).replace("%", "%%")) if identity is not None and identity.is_file() else ()),
        *("-l", jump.user, "-p", str(jump.port)),
    ]
    # `%` begins a token in a ProxyCommand, before a shell reads it.
    return f"{shlex.join(words).replace('%', '%%')} -W '[%h]:%p' -- {jump.host}"


def _quoted(path: Path) -> str:
    """A path in a setting of OpenSSH, in which `%` begins a token."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")

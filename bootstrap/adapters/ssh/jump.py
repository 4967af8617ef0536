"""Connects to a machine's SSH port, over jump hosts where there are any. Imports paramiko: import it where it is used.

Each connection logs in to the jump hosts by itself, as with OpenSSH; few at a time, since sshd drops some of more than
ten logins in progress (sshd_config: MaxStartups 10:30:100).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any

import paramiko

from bootstrap.adapters.calls import calling
from bootstrap.adapters.ssh.transport import bounded_transport
from bootstrap.adapters.ssh.trust import in_short
from bootstrap.adapters.ssh.user_config import Hop
from bootstrap.errors import GuestSetupError, SshUnreachableError
from bootstrap.model.ids import MachineName

_AT_ONCE = threading.BoundedSemaphore(5)
_KEEPALIVE_S = 5
_SHORTEST_S = 0.1
_DEAD_AFTER_MS = 20_000


class Onward:
    """A jump host's connection to the next place, as a socket.

    paramiko's thread of the inner connection closes it last, when the jump host's may be closed already: no error.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a channel has
        return getattr(self._channel, name)

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(EOFError, OSError, paramiko.SSHException):
            self._channel.close()


def road(
    machine: MachineName, address: IPv4Address, port: int, hops: tuple[Hop, ...], *, timeout_s: float
) -> tuple[socket.socket | Onward, Callable[[], None]]:
    """A connection to a machine's SSH port, and what closes it.

    Where there are jump hosts it logs in to each through those before it, and the last one connects to the machine.

    Raises:
        OSError: The machine is not reached without jump hosts.
        SshUnreachableError: A hop is not reached, or does not reach the next one (the machine may boot): it says which.
        GuestSetupError: A hop's host key is not in the user's known_hosts, or it refuses the user's keys.
    """
    deadline_s = time.monotonic() + timeout_s
    if not hops:
        sock = _dial(str(address), port, timeout_s)
        return sock, sock.close
    channel: Onward | None = None
    places = [*((hop.host, hop.port) for hop in hops[1:]), (str(address), port)]
    with contextlib.ExitStack() as clients:
        for hop, place in zip(hops, places, strict=True):
            with calling("ssh", f"{machine}: log in to the jump host {hop}"), _converted(machine, hop):
                client = _logged_in(hop, channel, deadline_s)
            clients.callback(client.close)  # the last hop's first
            channel = _onward(machine, hop, client, place, deadline_s)
        if channel is None:  # cannot be: there are hops
            raise AssertionError(hops)
        return channel, clients.pop_all().close


def _onward(
    machine: MachineName, hop: Hop, client: paramiko.SSHClient, place: tuple[str, int], deadline_s: float
) -> Onward:
    """Have a hop connect to the next place. Raises SshUnreachableError."""
    transport = client.get_transport()
    try:
        if transport is None:
            raise EOFError("the connection is closed")
        return Onward(transport.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=_left_s(deadline_s)))
    except (paramiko.SSHException, OSError, EOFError) as error:
        to = f"{place[0]}:{place[1]}"
        raise SshUnreachableError(
            f"{machine}: the jump host {hop} does not reach {to}",
            details=str(error) or type(error).__name__,
            resolution=f"is it up, and does {hop.name} allow connections there (AllowTcpForwarding)? "
            f"`ssh -W {to} {hop.name}` shows the reason",
        ) from error


def _logged_in(hop: Hop, sock: Onward | None, deadline_s: float) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    for path in hop.known_hosts:
        with contextlib.suppress(OSError):  # as OpenSSH does with one that it may not read
            client.load_system_host_keys(str(path))
    _by_alias(client, hop)
    client.set_missing_host_key_policy(_Unknown())
    # The stubs know of one file, and of a class.
    settings: dict[str, Any] = {
        "key_filename": [str(path) for path in hop.identities],
        "transport_factory": bounded_transport,
    }
    if not _AT_ONCE.acquire(timeout=_left_s(deadline_s)):
        raise TimeoutError("too many log-ins at a time")
    try:
        client.connect(
            hop.host,
            hop.port,
            username=hop.user,
            look_for_keys=False,
            sock=sock or _dial(hop.host, hop.port, _left_s(deadline_s)),  # type: ignore[arg-type]  # it is as a socket
            timeout=_left_s(deadline_s),
            banner_timeout=_left_s(deadline_s),
            auth_timeout=_left_s(deadline_s),
            **settings,
        )
    except BaseException:
        client.close()
        raise
    finally:
        _AT_ONCE.release()
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(_KEEPALIVE_S)
    return client


def _by_alias(client: paramiko.SSHClient, hop: Hop) -> None:
    """Use the keys that known_hosts has under the alias."""
    if not hop.known_as:
        return
    keys = client._system_host_keys  # type: ignore[attr-defined]  # the stubs have public names alone
    name = hop.host if hop.port == 22 else f"[{hop.host}]:{hop.port}"
    for kind, key in (keys.lookup(hop.known_as) or {}).items():
        client.get_host_keys().add(name, kind, key)


class _Unknown(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, _client: paramiko.SSHClient, _hostname: str, key: paramiko.PKey) -> None:
        """Raise: the key is not known."""
        raise _UnknownKeyError(in_short(key))


class _UnknownKeyError(Exception):
    """A jump host's key is in none of the files."""


@contextlib.contextmanager
def _converted(machine: MachineName, hop: Hop) -> Iterator[None]:
    """Convert what goes wrong at a hop into HomelabErrors."""
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise GuestSetupError(
            f"{machine}: the jump host {hop} has another host key than your known_hosts says",
            details=f"expected {in_short(error.expected_key)}\nfound {in_short(error.key)}",
            resolution=f"where it was given a new one: `ssh {hop.name}` says which line of known_hosts to remove",
        ) from error
    except _UnknownKeyError as error:
        raise GuestSetupError(
            f"{machine}: the host key of the jump host {hop} is not in your known_hosts",
            details=f"it shows {error}",
            resolution=f"compare it, and log in once: `ssh {hop.name}`",
        ) from error
    except paramiko.AuthenticationException as error:
        raise GuestSetupError(
            f"{machine}: the jump host {hop} refuses to log you in",
            details=str(error),
            resolution=f"`ssh {hop.name}` has to work without a password: with a key of its IdentityFile, or one that "
            "your SSH agent holds (`ssh-add`)",
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise SshUnreachableError(
            f"{machine}: the jump host {hop} cannot be reached",
            details=str(error) or type(error).__name__,
            resolution=f"`ssh {hop.name}` shows more; it is a ProxyJump in your ~/.ssh/config",
        ) from error


def _left_s(deadline_s: float) -> float:
    return max(_SHORTEST_S, deadline_s - time.monotonic())


def _dial(host: str, port: int, timeout_s: float) -> socket.socket:
    sock = socket.create_connection((host, port), timeout=timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # With SSH's keepalives, a machine that vanished is noticed in seconds, not after the kernel's 15 minutes.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
    return sock

"""Connects to a port, over jump hosts where there are any. Imports paramiko: import it where it is used.

Each SSH connection to a machine logs in to the jump hosts by itself, as with OpenSSH; few at a time, since sshd drops
some of more than ten logins in progress (sshd_config: MaxStartups 10:30:100).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import paramiko

from bootstrap.adapters.calls import calling
from bootstrap.adapters.first_page import place as shown_place
from bootstrap.adapters.jump.errors import NotReachedFromHopError
from bootstrap.adapters.jump.pin import in_short
from bootstrap.adapters.jump.user_config import Hop
from bootstrap.adapters.ssh.transport import bounded_transport
from bootstrap.errors import GuestSetupError, SshUnreachableError
from bootstrap.records.state.host_key import known_hosts_name

_AT_ONCE = threading.BoundedSemaphore(5)
_KEEPALIVE_S = 5
_SHORTEST_S = 0.1
_DEAD_AFTER_MS = 20_000
_PROHIBITED = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED (RFC 4254, 5.1): sshd's answer with AllowTcpForwarding no, or to PermitOpen."""
_CONNECT_FAILED = 2
"""SSH_OPEN_CONNECT_FAILED; OpenSSH adds the system's reason (channels.c: channel_post_connecting)."""

Place = tuple[str, int]


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
    subject: str, place: Place, hops: tuple[Hop, ...], *, timeout_s: float
) -> tuple[socket.socket | Onward, Callable[[], None]]:
    """A connection to a machine's SSH port, and what closes it.

    Where there are jump hosts it logs in to each through those before it, and the last one connects to the machine.

    Args:
        subject: The machine, for texts.
        place: Its address and port.
        hops: The jump hosts.
        timeout_s: For all of it.

    Raises:
        OSError: The machine is not reached without jump hosts.
        SshUnreachableError: A hop is not reached, or does not reach the next one (the machine may boot): it says which.
        GuestSetupError: A hop's host key is not known, it refuses the user's keys, or to forward.
        HostKeyError: The inventory's jump host shows another key.
    """
    if not hops:
        sock = dial(place, timeout_s)
        return sock, sock.close
    deadline_s = time.monotonic() + timeout_s
    with contextlib.ExitStack() as clients:
        last = log_in(subject, hops, clients, deadline_s)
        channel = onward(subject, hops[-1], last, place, deadline_s)
        return channel, clients.pop_all().close


def log_in(subject: str, hops: tuple[Hop, ...], clients: contextlib.ExitStack, deadline_s: float) -> paramiko.SSHClient:
    """Log in to each hop through those before it; the last one's connection. Raises as `road`."""
    channel: Onward | None = None
    last: paramiko.SSHClient | None = None
    for number, hop in enumerate(hops):
        if last is not None:
            channel = onward(subject, hops[number - 1], last, (hop.host, hop.port), deadline_s)
        with calling("ssh", f"{_prefix(subject)}log in to the jump host {hop}"), _converted(subject, hop):
            last = _logged_in(hop, channel, deadline_s)
        clients.callback(last.close)  # the last hop's first
    if last is None:
        raise ValueError("there are no hops")
    return last


def onward(subject: str, hop: Hop, client: paramiko.SSHClient, place: Place, deadline_s: float) -> Onward:
    """Have a hop connect to the next place.

    Raises:
        NotReachedFromHopError: It cannot.
        GuestSetupError: It may not.
    """
    transport = client.get_transport()
    to = shown_place(*place)
    try:
        if transport is None:
            raise EOFError("the connection is closed")
        return Onward(transport.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=_left_s(deadline_s)))
    except (paramiko.SSHException, OSError, EOFError) as error:
        code = error.code if isinstance(error, paramiko.ChannelException) else None
        if code == _PROHIBITED:
            raise GuestSetupError(
                f"{_prefix(subject)}the jump host {hop} refuses to forward connections to {to}",
                details=error.text if isinstance(error, paramiko.ChannelException) else str(error),
                resolution=f"in sshd_config of {hop.host}: AllowTcpForwarding has to be yes or local, and PermitOpen "
                f"any or with {to}",
            ) from error
        said = error.text if isinstance(error, paramiko.ChannelException) else str(error) or type(error).__name__
        failed = NotReachedFromHopError(
            f"{_prefix(subject)}the jump host {hop} does not reach {to}",
            details=said,
            resolution=f"check that the machine is up, and a firewall between it and {hop.host}; "
            f"`ssh -W {to} {hop.target}` shows more",
        )
        failed.refused = code == _CONNECT_FAILED and "refused" in said.lower()
        raise failed from error


def _logged_in(hop: Hop, sock: Onward | None, deadline_s: float) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    name = known_hosts_name(hop.host, hop.port)
    if hop.pin is not None:
        kept = hop.pin.kept()
        if kept is not None:  # like this paramiko asks the server for its key of this type; it may have several
            client.get_host_keys().add(name, kept.get_name(), kept)
    else:
        _load_known(client, hop, name)
    client.set_missing_host_key_policy(_Unknown(hop))
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
            sock=sock or dial((hop.host, hop.port), _left_s(deadline_s)),  # type: ignore[arg-type]  # as a socket
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


def _load_known(client: paramiko.SSHClient, hop: Hop, name: str) -> None:
    """Use the user's known_hosts, also what they have under the alias."""
    for path in hop.known_hosts:
        with contextlib.suppress(OSError):  # as OpenSSH does with one that it may not read
            client.load_system_host_keys(str(path))
    if not hop.known_as:
        return
    keys = client._system_host_keys  # type: ignore[attr-defined]  # the stubs have public names alone
    for kind, key in (keys.lookup(hop.known_as) or {}).items():
        client.get_host_keys().add(name, kind, key)


class _Unknown(paramiko.MissingHostKeyPolicy):
    """What to do with a key that no file has."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    def missing_host_key(self, _client: paramiko.SSHClient, _hostname: str, key: paramiko.PKey) -> None:
        """Raise: the key is not known; that of the inventory's jump host is kept."""
        if self._hop.pin is None:
            raise _UnknownKeyError(in_short(key))
        self._hop.pin.meet(key)


class _UnknownKeyError(Exception):
    """A jump host's key is in none of the files."""


@contextlib.contextmanager
def _converted(subject: str, hop: Hop) -> Iterator[None]:
    """Convert what goes wrong at a hop into HomelabErrors."""
    prefix = _prefix(subject)
    try:
        yield
    except paramiko.BadHostKeyException as error:
        if hop.pin is not None:
            raise hop.pin.refusal(in_short(error.expected_key), error.key) from error
        raise GuestSetupError(
            f"{prefix}the jump host {hop} has another host key than your known_hosts says",
            details=f"expected {in_short(error.expected_key)}\nfound {in_short(error.key)}",
            resolution=f"where it was given a new one: `ssh {hop.target}` says which line of known_hosts to remove",
        ) from error
    except _UnknownKeyError as error:
        raise GuestSetupError(
            f"{prefix}the host key of the jump host {hop} is not in your known_hosts",
            details=f"it shows {error}",
            resolution=f"compare it, and log in once: `ssh {hop.target}`",
        ) from error
    except paramiko.AuthenticationException as error:
        raise GuestSetupError(
            f"{prefix}the jump host {hop} refuses to log you in",
            details=str(error),
            resolution=f"`ssh {hop.target}` has to work without a password: with a key of its IdentityFile, or one "
            f"that your SSH agent holds (`ssh-add`){', or ssh.private_key' if hop.pin is not None else ''}",
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        named = "ssh.jump in the inventory" if hop.pin is not None else "a ProxyJump in your ~/.ssh/config"
        raise SshUnreachableError(
            f"{prefix}the jump host {hop} cannot be reached",
            details=str(error) or type(error).__name__,
            resolution=f"`ssh {hop.target}` shows more; it is {named}",
        ) from error


def _prefix(subject: str) -> str:
    return f"{subject}: " if subject else ""


def _left_s(deadline_s: float) -> float:
    return max(_SHORTEST_S, deadline_s - time.monotonic())


def dial(place: Place, timeout_s: float) -> socket.socket:
    """Connect to a place directly. Raises OSError."""
    sock = socket.create_connection(place, timeout=timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # With SSH's keepalives, a machine that vanished is noticed in seconds, not after the kernel's 15 minutes.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
    return sock

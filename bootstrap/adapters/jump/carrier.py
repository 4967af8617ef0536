"""One connection to the jump hosts that is kept, and what is opened through it as plain sockets.

TLS needs a socket of the system's: each connection is one end of a pair, and two threads copy what passes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from bootstrap.adapters.calls import calling
from bootstrap.adapters.jump.user_config import Hop

if TYPE_CHECKING:
    import paramiko

    from bootstrap.adapters.jump.road import Onward, Place

LOGIN_S = 15.0
"""For the log-ins, besides what the caller allows for the connection."""
_CHUNK = 1 << 16


class Carrier:
    """Opens connections through the last of some jump hosts; logs in on first use, and again once that is lost.

    Attributes:
        logins: How often it has logged in.
    """

    def __init__(self, hops: tuple[Hop, ...]) -> None:
        self._hops = hops
        self._lock = threading.Lock()
        self._clients = contextlib.ExitStack()
        self._last: paramiko.SSHClient | None = None
        self.logins = 0

    @property
    def last(self) -> Hop:
        """The jump host that connects to the places."""
        return self._hops[-1]

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        transport = self._last.get_transport() if self._last is not None else None
        return transport is not None and transport.is_active()

    def connect(self, place: Place, *, timeout_s: float) -> socket.socket:
        """A connection to a place.

        Raises:
            SshUnreachableError: A hop, or the place from there.
            GuestSetupError: Log-in or forwarding is refused.
            HostKeyError: The inventory's jump host shows another key.
        """
        from bootstrap.adapters.jump.road import onward

        client = self.log_in()
        with calling("ssh", f"{place[0]}:{place[1]} through {self.last}"):
            return plain(onward("", self.last, client, place, time.monotonic() + timeout_s))

    def log_in(self) -> paramiko.SSHClient:
        """The connection to the last hop. Raises as `connect`."""
        from bootstrap.adapters.jump.road import log_in

        with self._lock:
            if self._last is None or not self.alive:
                self._clients.close()
                self._last = None
                with contextlib.ExitStack() as clients:
                    self._last = log_in("", self._hops, clients, time.monotonic() + LOGIN_S)
                    self._clients = clients.pop_all()
                self.logins += 1
            return self._last

    def close(self) -> None:
        """End the connection, and all that goes through it."""
        with self._lock:
            self._clients.close()
            self._last = None


def plain(channel: Onward) -> socket.socket:
    """A channel as a socket of the system's."""
    near, far = socket.socketpair()
    join(far, channel)
    return near


def join(sock: socket.socket, channel: Onward | socket.socket) -> threading.Event:
    """Copy in both directions until both have ended, in two threads; the event is set at the end."""
    ended = threading.Event()
    sock.settimeout(None)
    channel.settimeout(None)

    def back() -> None:
        _copy(channel, sock)
        ahead.join()
        sock.close()
        channel.close()
        ended.set()

    ahead = threading.Thread(target=_copy, args=(sock, channel), name="jump-ahead", daemon=True)
    ahead.start()
    threading.Thread(target=back, name="jump-back", daemon=True).start()
    return ended


def _copy(source: socket.socket | Onward, sink: socket.socket | Onward) -> None:
    """Copy until the source ends; then the sink gets an end, too. What breaks either one ends both."""
    try:
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    except (OSError, EOFError):
        _shut(source, socket.SHUT_RDWR)
        _shut(sink, socket.SHUT_RDWR)
        return
    _shut(sink, socket.SHUT_WR)


def _shut(sock: socket.socket | Onward, how: int) -> None:
    with contextlib.suppress(OSError, EOFError):
        sock.shutdown(how)

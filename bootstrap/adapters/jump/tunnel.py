"""A port of this computer's loopback that leads to one place beyond the jump hosts."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bootstrap.adapters.jump.carrier import Carrier, join
from bootstrap.errors import HomelabError, SshUnreachableError

if TYPE_CHECKING:
    from bootstrap.adapters.jump.road import Place

LOOPBACK = "127.0.0.1"
_CONNECT_S = 10.0
_LOOK_S = 1.0
_AGAIN_S = (1.0, 2.0, 5.0)


class LocalTunnel:
    """Accepts connections until it is closed; implements `bootstrap.ports.Tunnel`.

    Args:
        carrier: The connection to the jump hosts, which is closed with it; None: the place is reached directly.
        place: Where it leads.
        port: Of loopback; 0 for any free one.
        tell: Is told of connections that could not be passed on, each reason once in a row.

    Raises:
        HomelabError: The port is in use.
    """

    def __init__(self, carrier: Carrier | None, place: Place, *, port: int, tell: Callable[[str], None]) -> None:
        self._carrier = carrier
        self._place = place
        self._tell = tell
        self._told = ""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = _listen(port)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="tunnel", daemon=True)
        self._thread.start()

    def hold(self, stop: threading.Event) -> None:
        """See `bootstrap.ports.Tunnel.hold`."""
        carrier = self._carrier
        seen = carrier.logins if carrier is not None else 0
        while not stop.wait(_LOOK_S):
            if carrier is None:
                continue
            began_s = time.monotonic()
            if not carrier.alive:
                self._log_in(carrier, stop)
            if carrier.logins != seen:  # perhaps for a connection through it
                seen, took_s = carrier.logins, time.monotonic() - began_s
                after = f" after {took_s:.0f} s" if took_s >= 1 else ""
                self._say(f"the connection to {carrier.last} was lost, and is up again{after}", again=True)

    def _log_in(self, carrier: Carrier, stop: threading.Event) -> None:
        """Log in again, for as long as it takes."""
        attempts = 0
        while not stop.is_set():
            try:
                carrier.log_in()
            except SshUnreachableError as error:
                self._say(f"the connection to {carrier.last} was lost: {error.details or error.brief}; trying again")
                stop.wait(_AGAIN_S[min(attempts, len(_AGAIN_S) - 1)])
                attempts += 1
            else:
                return

    def close(self) -> None:
        """See `bootstrap.ports.Tunnel.close`."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self._thread.join()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        if self._carrier is not None:
            self._carrier.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED):
                    time.sleep(_LOOK_S)
                    continue
                return  # closed
            threading.Thread(target=self._pass_on, args=(near,), name="tunnel-connection", daemon=True).start()

    def _pass_on(self, near: socket.socket) -> None:
        with self._lock:
            self._open.add(near)
        try:
            far = self._connect()
        except (HomelabError, OSError) as error:
            near.close()
            self._say(_shown(error))
        else:
            self._told = ""
            join(near, far).wait()
        with self._lock:
            self._open.discard(near)

    def _connect(self) -> socket.socket:
        if self._carrier is None:
            return socket.create_connection(self._place, timeout=_CONNECT_S)
        return self._carrier.connect(self._place, timeout_s=_CONNECT_S)

    def _say(self, text: str, *, again: bool = False) -> None:
        """Tell of something, once in a row unless `again`."""
        with self._lock:
            if text == self._told and not again:
                return
            self._told = text
        self._tell(text)


def _shown(error: HomelabError | OSError) -> str:
    if isinstance(error, HomelabError):
        return f"{error.brief}: {error.details}" if error.details else error.brief
    return str(error)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise HomelabError(
            f"cannot listen on {LOOPBACK}:{port}",
            details=os.strerror(error.errno) if error.errno else str(error),
            resolution="another tunnel of this cluster may be open: use it, or choose another port with --port",
        ) from error

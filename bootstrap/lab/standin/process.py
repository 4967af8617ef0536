"""The process around the stand-in. A program that runs it inside itself replaces the `Life`."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from . import built
from .shapes import Reply


class Closable(Protocol):
    """Something that the exit of a process closes."""

    def close(self) -> None: ...


class Stoppable(Protocol):
    """A running listener."""

    def stop(self) -> None: ...


class Life:
    """Log, time and end of the process. A program that runs the stand-in inside itself replaces `LIFE`."""

    bind = "0.0.0.0"
    """Default address of a server's listeners."""
    ready_delay_s = built.READY_DELAY_S
    """How long a node is NotReady after it has registered."""
    pace = float(os.environ.get("K3S_STANDIN_PACE") or built.PACE)
    """How slow its starts are: 1 takes as long as k3s does (7 to 30 s), 0 no longer than it needs."""
    idle_s = 3600.0
    """How often a listener checks whether it must stop."""

    def tell(self, line: str) -> None:
        """Write a line of the log."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def pause(self, seconds: float) -> None:
        """Wait; does not return if the process has ended."""
        time.sleep(seconds)

    def end(self, code: int) -> NoReturn:
        """End the whole process from any thread."""
        os._exit(code)

    def notify(self, state: str) -> None:
        """Notify systemd, if NOTIFY_SOCKET is set (sd_notify(3))."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        if not address:
            return
        if address.startswith("@"):
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)

    def run(self, target: Callable[..., object], *arguments: object) -> None:
        """Run the body of a thread."""
        target(*arguments)

    def listening(self, listener: Stoppable) -> None:
        """Record a listener, for the end of the process."""

    def opened(self, thing: Closable) -> None:
        """Record something to close at the end of the process."""

    def ended(self) -> bool:
        """Whether the process has ended; always False in a process of its own."""
        return False

    def held(self) -> bool:
        """Whether this machine's node is kept from becoming Ready."""
        return False

    def refusal(self) -> Reply | None:
        """An error that the Kubernetes API answers to everything; None: it works."""
        return None


LIFE = Life()
"""The life of this process. Read it as `process.LIFE`, since other programs replace it."""


def spawn(target: Callable[..., object], *arguments: object) -> None:
    """Run a function in a daemon thread."""
    threading.Thread(target=LIFE.run, args=(target, *arguments), daemon=True).start()

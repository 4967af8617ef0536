"""What the core has from its process; a program that runs it inside itself puts another `Life` here."""

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
    """What the end of a process closes by itself."""

    def close(self) -> None: ...


class Stoppable(Protocol):
    """A listener that has begun."""

    def stop(self) -> None: ...


class Life:
    """What the core has from its process. A program that runs it inside itself puts another one into `LIFE`."""

    bind = "0.0.0.0"
    """Where a server listens unless told otherwise."""
    ready_delay_s = built.READY_DELAY_S
    """How long a node is NotReady after it has registered."""
    pace = float(os.environ.get("K3S_STANDIN_PACE") or built.PACE)
    """How slow its starts are: 1 takes as long as k3s does (7 to 30 s), 0 no longer than it needs."""
    idle_s = 3600.0
    """How often a listener looks whether it is to end."""

    def tell(self, line: str) -> None:
        """Write a line of the log."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def pause(self, seconds: float) -> None:
        """Wait; where the process has ended meanwhile, never come back."""
        time.sleep(seconds)

    def end(self, code: int) -> NoReturn:
        """End the whole process from any thread."""
        os._exit(code)

    def notify(self, state: str) -> None:
        """Tell systemd, where it asked to be told (sd_notify(3))."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        if not address:
            return
        if address.startswith("@"):
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)

    def run(self, target: Callable[..., object], *arguments: object) -> None:
        """The whole of a thread."""
        target(*arguments)

    def listening(self, listener: Stoppable) -> None:
        """Take note of a listener that has begun."""

    def opened(self, thing: Closable) -> None:
        """Take note of what the end of a process closes by itself."""

    def ended(self) -> bool:
        """Whether the process has ended; only another program's Life can tell."""
        return False

    def held(self) -> bool:
        """Whether this machine's node is kept from becoming Ready."""
        return False

    def refusal(self) -> Reply | None:
        """What the Kubernetes API answers instead of an answer; None: it answers."""
        return None


LIFE = Life()
"""That of this process. Read it as `process.LIFE`, since another program replaces it."""


def spawn(target: Callable[..., object], *arguments: object) -> None:
    """Run something in a thread of its own for as long as the process lives."""
    threading.Thread(target=LIFE.run, args=(target, *arguments), daemon=True).start()

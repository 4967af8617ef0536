"""Ctrl-C: the first ends a run cleanly, the second quits at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130
SHOW_CURSOR = b"\x1b[?25h\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Handles SIGINT and SIGTERM while a command runs.

    Outside `gently` the first signal raises KeyboardInterrupt, as always in Python: nothing has been changed
    yet. Inside, it sets `stop`, and the run ends by itself. The second one exits at once.

    Args:
        stop: Checked by the run.
        say: Called once, in the signal handler, when `stop` is set.
    """

    def __init__(self, *, stop: threading.Event, say: Callable[[], None]) -> None:
        self._stop = stop
        self._say = say
        self._gentle = False
        self._before: dict[signal.Signals, signal.Handlers | int | Callable[[int, FrameType | None], object] | None]
        self._before = {}

    def install(self) -> None:
        """Install the handlers; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}

    def remove(self) -> None:
        """Restore the former handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @contextmanager
    def gently(self) -> Iterator[None]:
        """While a run checks `stop`."""
        self._gentle = True
        try:
            yield
        finally:
            self._gentle = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():
            quit_at_once()
        self._stop.set()
        if not self._gentle:
            raise KeyboardInterrupt
        self._say()


def quit_at_once() -> None:
    """End the process without waiting for its threads, and give the terminal its cursor back."""
    if os.isatty(2):
        os.write(2, SHOW_CURSOR)
    os._exit(EXIT_CODE)

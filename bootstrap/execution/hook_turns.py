"""Turns for hooks on machines of a cluster that runs: one machine at a time, and none after a failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bootstrap.errors import HomelabError, InterruptedRunError, LeftAloneError
from bootstrap.model.ids import MachineName
from bootstrap.ports import Clock
from bootstrap.waiting import waiting


class HookTurns:
    """The turns of one run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: MachineName | None = None

    @contextmanager
    def turn(self, machine: MachineName, *, clock: Clock, stop: threading.Event) -> Iterator[None]:
        """Wait for a turn, and run a machine's hooks inside.

        Raises:
            InterruptedRunError: The run was interrupted before the turn came.
            LeftAloneError: A hook has failed on another machine: this one is left alone.
        """
        with waiting("the hooks of another machine", clock):
            self._lock.acquire()
        try:
            if stop.is_set():
                raise InterruptedRunError("interrupted while waiting for the hooks of another machine")
            if self._failed is not None:
                raise LeftAloneError(f"a hook has failed on {self._failed}")
            try:
                yield
            except HomelabError:
                self._failed = machine
                raise
        finally:
            self._lock.release()

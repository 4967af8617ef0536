"""A unit as systemd runs it: Type=notify, Restart=always, RestartSec=5s, and its journal."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from bootstrap.lab.simulated.machine.leftovers import LeftOvers

RESTART_S = 5.0  # RestartSec of k3s's units
JOURNAL_LINES = 2000

logger = logging.getLogger("bootstrap.lab.simulated")


class Process(Protocol):
    """The process of a unit."""

    async def run(self) -> int:
        """Run until it ends; returns its exit code. Cancelling ends it."""
        ...


Launch = Callable[["Unit"], Process]


class Journal:
    """The journal, with the guest's time; written from any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: deque[tuple[float, str, str]] = deque(maxlen=JOURNAL_LINES)
        self._lock = threading.Lock()

    def tell(self, line: str, *, run: str = "") -> None:
        """Add a line; `run` is the invocation that wrote it, empty for systemd."""
        with self._lock:
            self._lines.append((self._clock(), run, line))

    def runs(self, *, lines: int, since: float) -> dict[str, list[str]]:
        """The last lines of each run, not older than `since` (seconds since the epoch, by the guest's clock)."""
        found: dict[str, list[str]] = {}
        with self._lock:
            for at, run, line in self._lines:
                if run and at >= since:
                    found.setdefault(run, []).append(line)
        return {run: all_lines[-lines:] for run, all_lines in found.items()}


class Unit:
    """One unit of one guest. All methods but the journal's belong to the lab's event loop.

    Args:
        name: Without `.service`.
        launch: Makes the process of a start.
        scale: Real seconds per second of the lab, for RestartSec.
        clock: The guest's time.
    """

    def __init__(self, name: str, *, launch: Launch, scale: float, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.enabled = False
        self.restarts = 0
        self.active_state, self.sub_state, self.result = "inactive", "dead", "success"
        self.journal = Journal(clock)
        self.invocation = ""
        self.since: float | None = None
        """Start time of its process by the guest's clock; None before the first."""
        self._clock = clock
        self.left_over = LeftOvers(f"{name}.service")
        self._launch, self._scale = launch, scale
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it without waiting; no-op if it runs or is about to."""
        if self._running is None or self._running.done():
            self.restarts = 0
            self._begin()
            self._running = asyncio.create_task(self._run(), name=self.name)
            self._running.add_done_callback(self._broke)

    async def stop(self) -> None:
        """Stop it and wait for its end."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._tell(self.left_over.at_end())
            self.journal.tell(f"Stopped {self.name}.service - Lightweight Kubernetes.")
        self.active_state, self.sub_state, self.result = "inactive", "dead", "success"

    def up(self) -> None:
        """Its process has said READY=1."""
        if self.active_state == "activating":
            self.active_state, self.sub_state = "active", "running"
            if self.name.startswith("k3s"):
                self.left_over.have_begun()
            self.journal.tell(f"Started {self.name}.service - Lightweight Kubernetes.")

    def say(self, line: str) -> None:
        """A line that its process writes."""
        self.journal.tell(line, run=self.invocation)

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.journal.tell(line)

    def _begin(self) -> None:
        self.active_state, self.sub_state = "activating", "start"
        self.invocation = uuid.uuid4().hex
        self.since = self._clock()
        self._tell(self.left_over.at_start())
        self.journal.tell(f"Starting {self.name}.service - Lightweight Kubernetes...")

    def _broke(self, task: asyncio.Task[None]) -> None:
        """Log a failure of the simulation itself, here and in the lab's log."""
        if task.cancelled() or task.exception() is None:
            return
        self.active_state, self.sub_state, self.result = "failed", "failed", "exit-code"
        self.say(f"simulation: {task.exception()!r}")
        logger.error("%s.service broke", self.name, exc_info=task.exception())

    async def _run(self) -> None:
        name = f"{self.name}.service"
        while True:
            self._tell(self.left_over.at_start())
            code = await self._launch(self).run()
            # An end without an error before READY=1 breaks the protocol of Type=notify.
            early = "protocol" if self.active_state == "activating" else "success"
            self.result = "exit-code" if code else early
            if code:
                self.journal.tell(f"{name}: Main process exited, code=exited, status={code}/FAILURE")
            if self.result != "success":
                self.journal.tell(f"{name}: Failed with result '{self.result}'.")
            self._tell(self.left_over.at_end())
            self.active_state, self.sub_state = "activating", "auto-restart"
            await asyncio.sleep(max(RESTART_S * self._scale, 0.1))
            self.restarts += 1
            self.journal.tell(f"{name}: Scheduled restart job, restart counter is at {self.restarts}.")
            self._begin()

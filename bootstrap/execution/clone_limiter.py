"""Takes turns at cloning: on each storage only as many at once as get its lock in time.

Proxmox VE gives up on a storage's lock after 10 s (`got timeout`), and each linked clone takes it once per volume, so
clones on one storage go one after another whatever is asked. More of them at once gain nothing, and the last in the
line fails. How long one holds the lock is the storage's affair: it is measured, never guessed.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from bootstrap.errors import InterruptedRunError, TransientError
from bootstrap.ports import Clock
from bootstrap.waiting import waiting

LOCK_TIMEOUT_S = 10.0
"""Proxmox VE's, for the locks of storages (PVE::Storage: cluster_lock_storage, 10 s by default)."""

AIM = 0.25
"""The share of the timeout that the last in the line should wait. Well below it: the lock of a shared storage is
polled, not queued for, so that an unlucky clone waits several times as long as its place in the line."""

FIRST_AT_ONCE = 4
"""Before anything is measured. Eight at once were seen to end well within 2 s on an SSD (PVE 8.4)."""

MOST_AT_ONCE = 16
FULL_AT_ONCE = 4
"""Full clones copy outside of the lock, and take as long as the disk does: their time says nothing about it."""

_NEWEST_WEIGHT = 0.3


@dataclass(frozen=True, kw_only=True)
class CloneCap:
    """How many clones may be in flight on one storage. Pure: each clone that ends gives the next one.

    Attributes:
        at_once: The cap.
        share_s: What one clone adds to the line: its time over how many were in flight with it, smoothed.
        fixed: Whether it stays as it is.
        lock_timeout_s: When Proxmox VE gives up on the lock.
    """

    lock_timeout_s: float = LOCK_TIMEOUT_S
    at_once: int = FIRST_AT_ONCE
    share_s: float | None = None
    fixed: bool = False

    def after(self, took_s: float, *, in_flight: int) -> CloneCap:
        """The cap once a clone has ended.

        Args:
            took_s: Its time, waits for locks and repetitions within it.
            in_flight: How many were in flight when it began or ended, whichever is more, itself among them.
        """
        if self.fixed:
            return self
        if took_s >= self.lock_timeout_s:
            return self.after_timeout()
        newest_s = took_s / max(1, in_flight)
        share_s = newest_s if self.share_s is None else self.share_s + _NEWEST_WEIGHT * (newest_s - self.share_s)
        fitting = int(AIM * self.lock_timeout_s / share_s) if share_s > 0 else MOST_AT_ONCE
        # One more at a time: a cap that jumps up on the first quick clone meets the lock before it is measured.
        return replace(self, at_once=max(1, min(fitting, self.at_once + 1, MOST_AT_ONCE)), share_s=share_s)

    def after_timeout(self) -> CloneCap:
        """The cap once a clone did not get its lock in time: half."""
        return self if self.fixed else replace(self, at_once=max(1, self.at_once // 2))


@dataclass
class Turn:
    """A turn; set `measured` to False where nothing was cloned in it."""

    measured: bool = True


@dataclass(order=True)
class _Waiter:
    rank: tuple[int, int]
    go: threading.Event = field(default_factory=threading.Event, compare=False)


@dataclass
class _Line:
    """Who clones on one storage, and who waits to."""

    cap: CloneCap
    in_flight: int = 0
    waiters: list[_Waiter] = field(default_factory=list)

    def admit(self) -> None:
        """Let in as many as the cap allows, the first in the line first."""
        while self.waiters and self.in_flight < self.cap.at_once:
            self.in_flight += 1
            heapq.heappop(self.waiters).go.set()


class CloneTurns:
    """The turns of one run. Thread-safe.

    Args:
        lock_timeout_s: When Proxmox VE gives up on a storage's lock.
    """

    def __init__(self, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._lock_timeout_s = lock_timeout_s
        self._guard = threading.Lock()
        self._lines: dict[tuple[str, bool], _Line] = {}
        self._numbers = itertools.count()

    @contextmanager
    def turn(self, storage: str, *, full: bool, urgent: bool, clock: Clock, stop: threading.Event) -> Iterator[Turn]:
        """Wait for a turn, and clone inside.

        Args:
            storage: Whose lock is taken; names of storages that are not shared have their Proxmox node before them.
            full: A full clone.
            urgent: Goes before the rest of the line: other lanes wait for the servers.
            clock: Measures.
            stop: Set when the run is interrupted.

        Raises:
            InterruptedRunError: The run was interrupted before the turn came.
        """
        line = self._enter(storage, full=full, urgent=urgent, clock=clock)
        try:
            if stop.is_set():
                raise InterruptedRunError(f"interrupted while waiting to clone on {storage}")
            began_s, beside = clock.now_s(), line.in_flight
            turn = Turn()
            try:
                yield turn
            except TransientError:
                with self._guard:
                    line.cap = line.cap.after_timeout()
                raise
            with self._guard:
                beside = max(beside, line.in_flight)
                if turn.measured:
                    line.cap = line.cap.after(clock.now_s() - began_s, in_flight=beside)
        finally:
            with self._guard:
                line.in_flight -= 1
                # After an interruption too: those in the line end at once, each by itself.
                line.admit()

    def cap(self, storage: str, *, full: bool) -> CloneCap | None:
        """The cap now; None where no clone was made."""
        with self._guard:
            line = self._lines.get((storage, full))
            return line.cap if line else None

    def _enter(self, storage: str, *, full: bool, urgent: bool, clock: Clock) -> _Line:
        cap = CloneCap(lock_timeout_s=self._lock_timeout_s)
        first = replace(cap, at_once=FULL_AT_ONCE, fixed=True) if full else cap
        waiter = _Waiter(rank=(0 if urgent else 1, next(self._numbers)))
        with self._guard:
            line = self._lines.setdefault((storage, full), _Line(cap=first))
            heapq.heappush(line.waiters, waiter)
            line.admit()
        if not waiter.go.is_set():
            with waiting(f"a clone slot on {storage}", clock):
                waiter.go.wait()
        return line

"""Turns at cloning: the cap follows what is measured, servers go first, nobody waits in vain."""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import InterruptedRunError, TransientError
from bootstrap.execution.clone_limiter import (
    AIM,
    FIRST_AT_ONCE,
    FULL_AT_ONCE,
    LOCK_TIMEOUT_S,
    MOST_AT_ONCE,
    CloneCap,
    CloneTurns,
)
from tests.fakes.clock import SteppingClock


@dataclass
class Storage:
    """Simulates clones on one storage under a cap: a part under the lock, one after another, and a part outside."""

    hold_s: float
    copy_s: float
    cap: CloneCap = field(default_factory=CloneCap)
    longest_wait_s: float = 0.0

    def clone(self, count: int) -> float:
        """Make clones, the next as soon as the cap lets it in; the time the last one ended."""
        now_s, free_at_s, flying = 0.0, 0.0, list[tuple[float, float, int]]()
        for _ in range(count):
            while len(flying) >= self.cap.at_once:
                now_s = self._land(flying)
            lock_s = max(now_s, free_at_s)
            self.longest_wait_s = max(self.longest_wait_s, lock_s - now_s)
            free_at_s = lock_s + self.hold_s
            heapq.heappush(flying, (free_at_s + self.copy_s, now_s, len(flying) + 1))
        while flying:
            now_s = self._land(flying)
        return now_s

    def _land(self, flying: list[tuple[float, float, int]]) -> float:
        beside = len(flying)
        ended_s, began_s, at_start = heapq.heappop(flying)
        self.cap = self.cap.after(ended_s - began_s, in_flight=max(beside, at_start))
        return ended_s


@given(hold_s=st.floats(0.01, 3.0), copy_s=st.floats(0.0, 5.0), count=st.integers(1, 120))
def test_no_clone_waits_for_its_lock_until_it_times_out(hold_s: float, copy_s: float, count: int) -> None:
    storage = Storage(hold_s=hold_s, copy_s=copy_s)
    storage.clone(count)
    assert storage.longest_wait_s < LOCK_TIMEOUT_S


@given(hold_s=st.floats(0.01, 3.0), count=st.integers(1, 120))
def test_where_the_lock_is_all_the_cap_costs_nothing(hold_s: float, count: int) -> None:
    took_s = Storage(hold_s=hold_s, copy_s=0.0).clone(count)
    assert took_s == pytest.approx(count * hold_s, rel=1e-6)


def test_where_clones_hardly_meet_at_the_lock_many_run_at_once() -> None:
    storage = Storage(hold_s=0.01, copy_s=1.0)
    took_s = storage.clone(200)
    assert storage.cap.at_once == MOST_AT_ONCE
    assert took_s < 200 / MOST_AT_ONCE * 1.5


def test_slow_clones_bring_the_cap_down_to_what_waits_the_aim() -> None:
    cap = CloneCap()
    for _ in range(20):
        cap = cap.after(cap.at_once * 1.0, in_flight=cap.at_once)
    assert cap.at_once == int(AIM * LOCK_TIMEOUT_S / 1.0)


def test_a_clone_that_took_as_long_as_the_timeout_halves_the_cap() -> None:
    assert CloneCap(at_once=8).after(LOCK_TIMEOUT_S, in_flight=1).at_once == 4
    assert CloneCap(at_once=1).after_timeout().at_once == 1


def test_the_cap_goes_up_one_at_a_time() -> None:
    assert CloneCap().after(0.1, in_flight=1).at_once == FIRST_AT_ONCE + 1


class Rig:
    """Threads that take turns."""

    def __init__(self) -> None:
        self.turns, self.stop, self.clock = CloneTurns(), threading.Event(), SteppingClock()
        self.inside: list[str] = []
        self.interrupted: list[str] = []
        self.go_on = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []
        self.done: list[str] = []

    def start(self, name: str, *, full: bool = True, urgent: bool = False, storage: str = "pve1/local") -> None:
        def work() -> None:
            turn = self.turns.turn(storage, full=full, urgent=urgent, clock=self.clock, stop=self.stop)
            try:
                with turn:
                    self.inside.append(name)
                    assert self.go_on.acquire(timeout=60)
            except InterruptedRunError:
                self.interrupted.append(name)
            self.done.append(name)

        thread = threading.Thread(target=work)
        self.threads.append(thread)
        thread.start()
        self.settle(done=0)

    def settle(self, *, done: int) -> None:
        """Wait until so many have ended, and all others are inside or in the line."""
        deadline = time.monotonic() + 60
        while not (len(self.done) >= done and self._is_settled()):
            assert time.monotonic() < deadline, f"inside {self.inside}, done {self.done}"
            time.sleep(0.001)

    def _is_settled(self) -> bool:
        lines = list(self.turns._lines.values())
        in_flight, waiting = sum(line.in_flight for line in lines), sum(len(line.waiters) for line in lines)
        all_have_come = len(self.done) + in_flight + waiting == len(self.threads)
        return all_have_come and len(self.inside) + len(self.interrupted) == len(self.done) + in_flight

    def finish(self, permits: int) -> None:
        for number in range(permits):
            self.go_on.release()
            self.settle(done=number + 1)
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads)


def test_servers_go_before_workers_that_came_earlier() -> None:
    rig = Rig()
    for number in range(FULL_AT_ONCE):
        rig.start(f"first-{number}")
    for name in ("worker-1", "worker-2"):
        rig.start(name)
    rig.start("server", urgent=True)
    assert len(rig.inside) == FULL_AT_ONCE
    rig.finish(FULL_AT_ONCE + 3)
    assert rig.inside[FULL_AT_ONCE:] == ["server", "worker-1", "worker-2"]


def test_storages_do_not_wait_for_each_other() -> None:
    rig = Rig()
    for storage in ("pve1/local", "pve2/local"):
        for number in range(FULL_AT_ONCE + 1):
            rig.start(f"{storage}-{number}", storage=storage)
    assert len(rig.inside) == 2 * FULL_AT_ONCE
    rig.finish(2 * FULL_AT_ONCE + 2)


def test_an_interruption_ends_those_in_the_line_once_one_inside_ends() -> None:
    rig = Rig()
    for number in range(FULL_AT_ONCE + 5):
        rig.start(str(number))
    rig.stop.set()
    rig.finish(FULL_AT_ONCE)
    assert len(rig.interrupted) == 5


def test_a_lock_not_had_in_time_halves_the_cap_and_comes_through() -> None:
    turns, clock = CloneTurns(), SteppingClock()
    with (
        pytest.raises(TransientError),
        turns.turn("s", full=False, urgent=False, clock=clock, stop=threading.Event()),
    ):
        raise TransientError("cannot clone", details="can't lock file - got timeout")
    cap = turns.cap("s", full=False)
    assert cap is not None
    assert cap.at_once == FIRST_AT_ONCE // 2


def test_full_clones_have_a_cap_of_their_own_that_stays() -> None:
    turns, clock = CloneTurns(), SteppingClock()
    with turns.turn("s", full=True, urgent=False, clock=clock, stop=threading.Event()):
        clock.sleep(300)
    cap = turns.cap("s", full=True)
    assert cap is not None
    assert cap.at_once == FULL_AT_ONCE

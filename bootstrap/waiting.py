"""A wait has a description, a deadline and a last problem. Nothing else in the library sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bootstrap.errors import DeadlineError, InterruptedRunError
from bootstrap.events import EventSink, Told, ignore
from bootstrap.ports import Clock

T = TypeVar("T")

SAY_AFTER_S = 10.0
"""A wait that takes longer reports what it waits for, and again each time as long has passed."""

REPORTED_FROM_S = 0.05
"""A wait that was shorter is not reported when it ends."""

WaitListener = Callable[[str, str, float], None]
"""Hears of a wait that has ended: what was waited for, the last problem, and for how many seconds."""

# Of the thread, since the adapters wait too (for Proxmox's tasks) and know nothing of lanes.
_listener: ContextVar[WaitListener | None] = ContextVar("wait_listener", default=None)


@contextmanager
def _during(variable: ContextVar[T], value: T) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def hearing_waits(listener: WaitListener) -> AbstractContextManager[None]:
    """Call `listener` for every wait of `REPORTED_FROM_S` and more that ends in this thread, not for inner ones."""
    return _during(_listener, listener)


@contextmanager
def waiting(what: str, clock: Clock) -> Iterator[list[str]]:
    """A wait, also one that is no polling, such as for a turn; yields where to put its last problem."""
    listener, problems, began_s = _listener.get(), [""], clock.now_s()
    try:
        with _during(_listener, None):
            yield problems
    finally:
        waited_s = clock.now_s() - began_s
        if listener is not None and waited_s >= REPORTED_FROM_S:
            listener(what, problems[-1], waited_s)


_sink: ContextVar[EventSink | None] = ContextVar("looking_sink", default=None)


def reporting_to(sink: EventSink) -> AbstractContextManager[None]:
    """Report long waits of code that only looks to `sink`: that code has no sink of its own."""
    return _during(_sink, sink)


def report_fact(message: str) -> None:
    """Report a fact to the user, where a sink is set (`reporting_to`)."""
    sink = _sink.get()
    if sink is not None:
        sink(Told(message=message))


def patience_to_look(
    clock: Clock, timeout_s: float, *, sink: EventSink | None = None, stop: threading.Event | None = None
) -> WaitContext:
    """How code waits that only looks: for `timeout_s` at most; Ctrl-C ends it at once, since no step is running."""
    hears = sink or _sink.get() or ignore

    def say(what: str, problem: str, waited_s: float) -> None:
        hears(Told(message=f"still waiting for {what} ({waited_s:.0f} s): {problem}"))

    return WaitContext(clock=clock, deadline_s=clock.now_s() + timeout_s, stop=stop or threading.Event(), say=say)


class PollThrottle:
    """All who wait at the same time in one run: the more, the longer each pauses, so that polls have a bounded cost.

    A poll over SSH costs this machine 1 to 2 ms of CPU (paramiko 5; 100 machines on simulated guests). Without a bound,
    500 machines polled three times a second would leave no time to do anything else.
    """

    SHARE_S = 0.004
    """Pause for each who waits: with 2 ms a poll they keep one core half busy at most."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting = 0

    @contextmanager
    def among(self) -> Iterator[None]:
        """While one waits."""
        with self._guard:
            self._waiting += 1
        try:
            yield
        finally:
            with self._guard:
                self._waiting -= 1

    def pause_s(self, every_s: float) -> float:
        """How long to pause who would poll every `every_s` if alone."""
        return max(every_s, self._waiting * self.SHARE_S)


@dataclass(frozen=True)
class NotYet:
    """What a poll returns while the condition does not hold: why not, in one line."""

    problem: str


@dataclass(frozen=True, kw_only=True)
class Condition(Generic[T]):
    """Something to wait for.

    Attributes:
        what: What is waited for, as it reads after "waiting for": `the guest agent of demo-cp-1`.
        poll: Looks once; returns the value sought, or NotYet. Errors it raises end the wait.
        every_s: Pause between polls, where not many wait.
        pace: The pause by the seconds waited so far, where it is to grow; `every_s` is then the least.
        resolution: What the user does when time runs out.
    """

    what: str
    poll: Callable[[], T | NotYet]
    every_s: float = 0.2
    resolution: str = ""
    pace: Callable[[float], float] | None = None


@dataclass(frozen=True, kw_only=True)
class WaitContext:
    """How to wait: the clock, the time that remains, who hears of it, and what ends it early.

    Attributes:
        deadline_s: In the clock's seconds.
        stop: Set when the run is interrupted.
        say: Called with what, last problem and seconds waited, every `SAY_AFTER_S`.
        poll_throttle: The others who wait.
    """

    clock: Clock
    deadline_s: float
    stop: threading.Event
    say: Callable[[str, str, float], None]
    poll_throttle: PollThrottle = field(default_factory=PollThrottle)


def wait_for(condition: Condition[T], wait_context: WaitContext) -> T:
    """Poll until the condition holds.

    Raises:
        DeadlineError: Time ran out; details are the last problem.
        InterruptedRunError: The run was interrupted.
    """
    with waiting(condition.what, wait_context.clock) as problems, wait_context.poll_throttle.among():
        return _poll(condition, wait_context, problems)


def _poll(condition: Condition[T], wait_context: WaitContext, problems: list[str]) -> T:
    """Poll until the condition holds; the last problem goes to `problems`."""
    clock = wait_context.clock
    said_s = began_s = clock.now_s()
    while True:
        result = condition.poll()
        if not isinstance(result, NotYet):
            return result
        problems[-1] = result.problem
        now_s = clock.now_s()
        if wait_context.stop.is_set():
            raise InterruptedRunError(f"interrupted while waiting for {condition.what}", details=result.problem)
        if now_s >= wait_context.deadline_s:
            raise DeadlineError(
                f"timed out waiting for {condition.what} after {now_s - began_s:.0f} s",
                details=result.problem,
                resolution=condition.resolution,
            )
        if now_s - said_s >= SAY_AFTER_S:
            said_s = now_s
            wait_context.say(condition.what, result.problem, now_s - began_s)
        wanted_s = condition.every_s if condition.pace is None else condition.pace(now_s - began_s)
        pause_s = wait_context.poll_throttle.pause_s(max(condition.every_s, wanted_s))
        clock.sleep(min(pause_s, max(0.01, wait_context.deadline_s - now_s)))

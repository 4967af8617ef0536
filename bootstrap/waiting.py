"""A wait has a description, a deadline and a last problem. Nothing else in the library sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bootstrap.errors import DeadlineError, InterruptedRunError
from bootstrap.ports import Clock

T = TypeVar("T")

SAY_AFTER_S = 15.0
"""A wait that takes longer tells what it waits for, and again each time as long has passed."""


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
        every_s: Pause between polls.
        resolution: What the user does when time runs out.
    """

    what: str
    poll: Callable[[], T | NotYet]
    every_s: float = 0.2
    resolution: str = ""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How to wait: the clock, the time that remains, who hears of it, and what ends it early.

    Attributes:
        deadline_s: In the clock's seconds.
        stop: Set when the run is interrupted.
        say: Called with what, last problem and seconds waited, every `SAY_AFTER_S`.
    """

    clock: Clock
    deadline_s: float
    stop: threading.Event
    say: Callable[[str, str, float], None]

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.deadline_s - self.clock.now_s())


def wait_for(condition: Condition[T], patience: Patience) -> T:
    """Poll until the condition holds.

    Raises:
        DeadlineError: Time ran out; details are the last problem.
        InterruptedRunError: The run was interrupted.
    """
    clock = patience.clock
    began_s = clock.now_s()
    said_s = began_s
    while True:
        result = condition.poll()
        if not isinstance(result, NotYet):
            return result
        now_s = clock.now_s()
        if patience.stop.is_set():
            raise InterruptedRunError(f"interrupted while waiting for {condition.what}", details=result.problem)
        if now_s >= patience.deadline_s:
            raise DeadlineError(
                f"gave up waiting for {condition.what} after {now_s - began_s:.0f} s",
                details=result.problem,
                resolution=condition.resolution,
            )
        if now_s - said_s >= SAY_AFTER_S:
            said_s = now_s
            patience.say(condition.what, result.problem, now_s - began_s)
        clock.sleep(min(condition.every_s, max(0.01, patience.deadline_s - now_s)))

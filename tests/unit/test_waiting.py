"""Waits: a value, a deadline with its last problem, a word after 10 s, an early end."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from bootstrap.errors import DeadlineError, InterruptedRunError
from bootstrap.waiting import Condition, NotYet, PollThrottle, WaitContext, hearing_waits, wait_for, waiting
from tests.fakes.clock import SteppingClock


def wait_context(timeout_s: float, said: list[tuple[str, str, float]] | None = None) -> WaitContext:
    heard = said if said is not None else []
    return WaitContext(
        clock=SteppingClock(),
        deadline_s=timeout_s,
        stop=threading.Event(),
        say=lambda what, problem, waited_s: heard.append((what, problem, waited_s)),
    )


def after(polls: int) -> Condition[str]:
    left = iter(range(polls))
    return Condition(what="the kettle", poll=lambda: NotYet("cold") if next(left, None) is not None else "tea")


def test_the_value_comes_back_once_it_is_there() -> None:
    assert wait_for(after(3), wait_context(10)) == "tea"


def test_a_deadline_names_what_was_waited_for_and_the_last_problem() -> None:
    with pytest.raises(DeadlineError, match="the kettle after 5 s") as gave_up:
        wait_for(after(1000), wait_context(5))
    assert gave_up.value.details == "cold"


def test_even_without_time_left_one_look_is_taken() -> None:
    assert wait_for(after(0), wait_context(0)) == "tea"


def test_a_long_wait_says_what_and_why_every_10_s() -> None:
    said: list[tuple[str, str, float]] = []
    with pytest.raises(DeadlineError):
        wait_for(replace(after(10_000), every_s=0.25), wait_context(45, said))  # a sum without an error
    assert [(what, problem) for what, problem, _ in said] == [("the kettle", "cold")] * 4
    assert [waited_s for _, _, waited_s in said] == [10, 20, 30, 40]


def test_an_interruption_ends_the_wait() -> None:
    waiting = wait_context(1000)
    waiting.stop.set()
    with pytest.raises(InterruptedRunError, match="the kettle"):
        wait_for(after(10), waiting)


def test_a_wait_that_ended_is_told_with_its_time_and_last_problem() -> None:
    heard: list[tuple[str, str, float]] = []
    with hearing_waits(lambda *wait: heard.append(wait)):
        wait_for(after(3), wait_context(10))
        wait_for(after(0), wait_context(10))
    wait_for(after(3), wait_context(10))
    assert [(what, problem, round(waited_s, 3)) for what, problem, waited_s in heard] == [("the kettle", "cold", 0.6)]


def test_a_wait_that_fails_is_told_too() -> None:
    heard: list[str] = []
    with pytest.raises(DeadlineError), hearing_waits(lambda what, _problem, _waited_s: heard.append(what)):
        wait_for(after(1000), wait_context(5))
    assert heard == ["the kettle"]


def test_of_a_wait_within_a_wait_only_the_outer_one_is_told() -> None:
    heard: list[tuple[str, float]] = []
    clock = SteppingClock()

    def poll() -> bool:
        with waiting("for my turn", clock):
            clock.sleep(1)
        return True

    outer = WaitContext(clock=clock, deadline_s=10, stop=threading.Event(), say=lambda *_: None)
    with hearing_waits(lambda what, _problem, waited_s: heard.append((what, waited_s))):
        wait_for(Condition(what="the kettle", poll=poll), outer)
        poll()
    assert heard == [("the kettle", 1.0), ("for my turn", 1.0)]


def test_where_many_wait_each_pauses_longer() -> None:
    poll_throttle = PollThrottle()
    assert poll_throttle.pause_s(0.3) == 0.3
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(poll_throttle.among())
        assert poll_throttle.pause_s(0.3) == 500 * PollThrottle.SHARE_S
    assert poll_throttle.pause_s(0.3) == 0.3

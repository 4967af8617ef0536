"""The runner by itself: gates, parallel lanes, failures, interruption."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.errors import HomelabError
from bootstrap.events import (
    Event,
    LaneSkipped,
    LaneStatus,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    Told,
    Waited,
)
from bootstrap.execution.context import Done
from bootstrap.execution.report import Report
from bootstrap.execution.runner import Perform, Runner
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, MachineName, Vmid
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan
from bootstrap.planning.steps import StartVm, Step
from bootstrap.waiting import waiting
from tests.fakes.clock import SteppingClock


def step(name: str) -> StartVm:
    return StartVm(machine=MachineName(name))


def plan(*lanes: Lane) -> Plan:
    vmids = VmidRange(first=Vmid(7000), last=Vmid(7001))
    return Plan(command="up", cluster=ClusterName("demo"), machines=(), lanes=lanes, vmids=vmids)


def lane(name: str, *steps: LaneStep) -> Lane:
    return Lane(name=name, steps=steps)


def run(the_plan: Plan, perform: Perform, stop: threading.Event | None = None) -> tuple[Report, list[Event]]:
    events: list[Event] = []
    runner = Runner(
        the_plan, perform=perform, sink=events.append, clock=SteppingClock(), stop=stop or threading.Event()
    )
    return runner.run(), events


def ok(_step: Step, _lane: str) -> Done:
    return Done()


def test_lanes_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=60)

    def meet(_step: Step, _lane: str) -> Done:
        meeting.wait()
        return Done()

    report, _ = run(plan(*(lane(name, LaneStep(step=step(name))) for name in "abc")), meet)
    assert len(report.of(LaneStatus.DONE)) == 3


def test_a_step_waits_for_its_gate_without_holding_up_other_lanes() -> None:
    order: list[str] = []
    gate = Gate("ready")
    released = threading.Event()

    def perform(_step: Step, lane_name: str) -> Done:
        if lane_name == "opener":
            assert released.wait(60)
        order.append(lane_name)
        if lane_name == "free":
            released.set()
        return Done()

    run(
        plan(
            lane("waiter", LaneStep(step=step("w"), needs=(gate,))),
            lane("opener", LaneStep(step=step("o"), opens=(gate,))),
            lane("free", LaneStep(step=step("f"))),
        ),
        perform,
    )
    assert order == ["free", "opener", "waiter"]


def test_a_failed_lane_skips_those_that_need_it_with_its_cause_and_no_other() -> None:
    first, second = Gate("first"), Gate("second")

    def perform(_step: Step, lane_name: str) -> Done:
        if lane_name == "broken":
            raise HomelabError("the disk is full")
        return Done()

    report, events = run(
        plan(
            lane("broken", LaneStep(step=step("b"), opens=(first,))),
            lane("needs", LaneStep(step=step("n"), needs=(first,), opens=(second,))),
            lane("needs-that", LaneStep(step=step("t"), needs=(second,))),
            lane("free", LaneStep(step=step("f"))),
        ),
        perform,
    )
    status = {outcome.lane: outcome.status for outcome in report.outcomes}
    assert status == {
        "broken": LaneStatus.FAILED,
        "needs": LaneStatus.SKIPPED,
        "needs-that": LaneStatus.SKIPPED,
        "free": LaneStatus.DONE,
    }
    causes = [event.cause for event in events if isinstance(event, LaneSkipped)]
    assert all("broken: the disk is full" in cause for cause in causes)
    with pytest.raises(HomelabError, match="broken: the disk is full"):
        report.raise_failures()


def test_a_gate_that_nobody_opens_ends_the_run_and_is_named() -> None:
    report, _ = run(plan(lane("a", LaneStep(step=step("a"), needs=(Gate("never"),)))), ok)
    assert [outcome.cause for outcome in report.outcomes] == ["no step of the plan opens never"]


def test_after_an_interruption_nothing_new_starts_and_running_steps_end() -> None:
    stop = threading.Event()
    performed: list[str] = []

    def perform(_step: Step, lane_name: str) -> Done:
        performed.append(lane_name)
        stop.set()
        return Done()

    report, _ = run(plan(lane("a", LaneStep(step=step("a")), LaneStep(step=step("a")))), perform, stop)
    assert performed == ["a"]
    assert report.interrupted
    assert [outcome.status for outcome in report.outcomes] == [LaneStatus.SKIPPED]


def test_events_of_workers_reach_the_sink_on_the_thread_of_run() -> None:
    threads: set[int] = set()
    runner: Runner

    def perform(_step: Step, _lane: str) -> Done:
        runner.emit(Told(message="hello"))
        return Done()

    def sink(_event: Event) -> None:
        threads.add(threading.get_ident())

    runner = Runner(
        plan(lane("a", LaneStep(step=step("a")))),
        perform=perform,
        sink=sink,
        clock=SteppingClock(),
        stop=threading.Event(),
    )
    runner.run()
    assert threads == {threading.get_ident()}


def test_events_tell_the_gates_of_steps_and_the_waits_inside_them() -> None:
    gate = Gate("server_joined", "a")
    clock = SteppingClock()
    events: list[Event] = []

    def perform(_step: Step, lane_name: str) -> Done:
        if lane_name == "a":
            with waiting("a clone's turn", clock):
                clock.sleep(2)
        return Done()

    lanes = (lane("a", LaneStep(step=step("a"), opens=(gate,))), lane("b", LaneStep(step=step("b"), needs=(gate,))))
    Runner(plan(*lanes), perform=perform, sink=events.append, clock=clock, stop=threading.Event()).run()
    opened = [event.opens for event in events if isinstance(event, StepFinished)]
    needed = [event.needs for event in events if isinstance(event, StepStarted)]
    waits = [(event.lane, event.what, event.at_s, event.waited_s) for event in events if isinstance(event, Waited)]
    assert (opened, needed) == ([("server_joined(a)",), ()], [(), ("server_joined(a)",)])
    assert waits == [("a", "a clone's turn", 2.0, 2.0)]


def test_a_bug_in_a_handler_is_not_swallowed() -> None:
    def perform(_step: Step, _lane: str) -> Done:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(plan(lane("a", LaneStep(step=step("a")))), perform)


def test_two_lanes_of_one_name_are_a_bug() -> None:
    with pytest.raises(ValueError, match="two lanes"):
        run(plan(lane("a", LaneStep(step=step("a"))), lane("a", LaneStep(step=step("a")))), ok)


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, frozenset[str]]:
    """Random lanes whose steps need gates of any lane (cycles and missing openers included), and lanes to break."""
    count = draw(st.integers(1, 6))
    names = [f"lane-{number}" for number in range(count)]
    gates = [Gate("done", name) for name in names] + [Gate("never")]
    lanes = []
    for name in names:
        length = draw(st.integers(1, 3))
        steps = [
            LaneStep(
                step=step(name),
                needs=tuple(draw(st.lists(st.sampled_from(gates), max_size=2))),
                opens=(Gate("done", name),) if number == length - 1 else (),
            )
            for number in range(length)
        ]
        lanes.append(lane(name, *steps))
    return plan(*lanes), draw(st.frozensets(st.sampled_from(names)))


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_run_ends_and_accounts_for_every_lane(case: tuple[Plan, frozenset[str]]) -> None:
    the_plan, broken = case

    def perform(_step: Step, lane_name: str) -> Done:
        if lane_name in broken:
            raise HomelabError("broken")
        return Done()

    report, events = run(the_plan, perform)
    assert {outcome.lane for outcome in report.outcomes} == {lane.name for lane in the_plan.lanes}
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    assert {outcome.lane for outcome in report.of(LaneStatus.FAILED)} <= broken
    assert not {outcome.lane for outcome in report.of(LaneStatus.DONE)} & broken

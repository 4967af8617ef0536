"""Runs a plan: lanes in parallel, gates between them, no global barrier.

The main thread schedules and hands events to the sink; steps run in worker threads. A step is given to a
worker when all gates it needs are open, so no thread waits for a gate. A lane that fails fails the gates it
would have opened; lanes that need those are skipped with that cause; all others finish.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bootstrap.errors import HomelabError, InterruptedRunError, LeftAloneError
from bootstrap.events import (
    Event,
    EventSink,
    LaneSkipped,
    LaneStatus,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
    Waited,
)
from bootstrap.execution.context import Done
from bootstrap.execution.report import LaneOutcome, Report, StepRecord
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan
from bootstrap.planning.steps import Step
from bootstrap.ports import Clock
from bootstrap.waiting import hearing_waits

Perform = Callable[[Step, str], Done]
"""Carries out one step in the lane of this name; raises HomelabError."""

MAX_WORKERS = 512
"""Threads at most; nearly all of them wait for the network."""


@dataclass(frozen=True)
class _Ended:
    """A worker's message: a step of a lane has ended."""

    lane: str
    result: Done | HomelabError | BaseException
    began_s: float
    ended_s: float


@dataclass
class _LaneState:
    lane: Lane
    position: int = 0
    running: bool = False
    outcome: LaneOutcome | None = None

    @property
    def next(self) -> LaneStep:
        return self.lane.steps[self.position]


class Runner:
    """One run of one plan. Use it once.

    Args:
        plan: What to do.
        perform: Carries out steps.
        sink: Hears events, on the thread that calls `run` only.
        clock: For the times in events.
        stop: Set it (or press Ctrl-C in the main thread) to start nothing more.
    """

    def __init__(self, plan: Plan, *, perform: Perform, sink: EventSink, clock: Clock, stop: threading.Event) -> None:
        self._plan = plan
        self._perform = perform
        self._sink = sink
        self._clock = clock
        self._stop = stop
        self._inbox: queue.SimpleQueue[Event | _Ended] = queue.SimpleQueue()
        self._lanes = {lane.name: _LaneState(lane=lane) for lane in plan.lanes}
        if len(self._lanes) != len(plan.lanes):
            raise ValueError(f"two lanes with the same name in {[lane.name for lane in plan.lanes]}")
        self._open: set[Gate] = set()
        self._failed: dict[Gate, str] = {}
        self._records: list[StepRecord] = []
        self._began_s = clock.now_s()

    def emit(self, event: Event) -> None:
        """Take an event from any thread; it reaches the sink on the thread of `run`."""
        self._inbox.put(event)

    def run(self) -> Report:
        """Run the plan to its end. Never raises for a failed step: the report has it."""
        plan = self._plan
        self._sink(
            RunStarted(
                command=plan.command,
                cluster=plan.cluster,
                lanes=tuple((lane.name, len(lane.steps)) for lane in plan.lanes),
            )
        )
        workers = min(MAX_WORKERS, max(1, len(self._lanes)))
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="lane") as pool:
            while self._schedule(pool):
                while not self._receive():
                    pass  # events change nothing about what can start
        report = self._report()
        self._sink(
            RunFinished(
                command=plan.command,
                cluster=plan.cluster,
                took_s=report.took_s,
                done=len(report.of(LaneStatus.DONE)),
                failed=len(report.of(LaneStatus.FAILED)),
                skipped=len(report.of(LaneStatus.SKIPPED)),
                phases=report.phases,
                longest_lane=report.longest_lane,
            )
        )
        return report

    def _schedule(self, pool: ThreadPoolExecutor) -> bool:
        """Start every step that can start; whether any is running."""
        while any([self._advance(state, pool) for state in self._idle()]):
            pass  # a skipped lane fails its gates, which may skip others
        if any(state.running for state in self._lanes.values()):
            return True
        for state in self._idle():  # nothing runs: what is left waits for gates that no step opens
            missing = ", ".join(str(gate) for gate in state.next.needs if gate not in self._open)
            self._skip(state, f"no step of the plan opens {missing}")
        return False

    def _idle(self) -> list[_LaneState]:
        """The lanes that have not ended and run no step."""
        return [state for state in self._lanes.values() if state.outcome is None and not state.running]

    def _advance(self, state: _LaneState, pool: ThreadPoolExecutor) -> bool:
        """Start a lane's next step, or skip the lane; whether it was skipped."""
        needs = state.next.needs
        failed = next((gate for gate in needs if gate in self._failed), None)
        if failed is not None:
            cause = self._failed[failed]
            self._skip(state, f"needs {failed}, but {cause}", root=cause)
            return True
        if self._stop.is_set():
            self._skip(state, "interrupted")
            return True
        if all(gate in self._open for gate in needs):
            state.running = True
            pool.submit(self._work, state.lane.name, state.next)
        return False

    def _work(self, lane: str, lane_step: LaneStep) -> None:
        """Run one step in a worker thread; whatever happens becomes a message."""
        step, needs = lane_step.step, tuple(map(str, lane_step.needs))
        began_s = self._now_s()
        self.emit(StepStarted(lane=lane, phase=step.phase, title=step.title, at_s=began_s, needs=needs))

        def waited(what: str, problem: str, waited_s: float) -> None:
            self.emit(Waited(lane=lane, what=what, problem=problem, at_s=self._now_s(), waited_s=waited_s))

        result: Done | BaseException
        try:
            with hearing_waits(waited):
                result = self._perform(step, lane)
        except BaseException as error:  # noqa: BLE001 - re-raised on the main thread unless it is ours
            result = error
        self._inbox.put(_Ended(lane=lane, result=result, began_s=began_s, ended_s=self._now_s()))

    def _receive(self) -> bool:
        """Take one message; whether something else can start now, or nothing may any more."""
        try:
            message = self._inbox.get()
        except KeyboardInterrupt:
            self._stop.set()
            return True
        if isinstance(message, _Ended):
            self._settle(message)
            return True
        self._sink(message)
        return False

    def _settle(self, ended: _Ended) -> None:
        state = self._lanes[ended.lane]
        state.running = False
        lane_step = state.next
        step, result = lane_step.step, ended.result
        times = {"at_s": ended.ended_s, "took_s": ended.ended_s - ended.began_s}
        changed = isinstance(result, Done) and result.changed
        self._records.append(
            StepRecord(
                lane=ended.lane,
                phase=step.phase,
                title=step.title,
                began_s=ended.began_s,
                ended_s=ended.ended_s,
                changed=changed,
            )
        )
        if isinstance(result, Done):
            opens = tuple(map(str, lane_step.opens))
            self._sink(
                StepFinished(
                    lane=ended.lane,
                    phase=step.phase,
                    title=step.title,
                    changed=changed,
                    note=result.note,
                    opens=opens,
                    **times,
                )
            )
            self._open.update(lane_step.opens)
            state.position += 1
            if state.position == len(state.lane.steps):
                state.outcome = LaneOutcome(lane=ended.lane, status=LaneStatus.DONE)
            return
        if not isinstance(result, HomelabError):
            self._stop.set()
            raise result
        if isinstance(result, InterruptedRunError):
            self._skip(state, "interrupted")
            return
        if isinstance(result, LeftAloneError):
            self._skip(state, result.brief)
            return
        self._sink(StepFailed(lane=ended.lane, phase=step.phase, title=step.title, error=result, **times))
        state.outcome = LaneOutcome(lane=ended.lane, status=LaneStatus.FAILED, step=step.title, error=result)
        self._fail_gates(state, result.brief_of(ended.lane))

    def _skip(self, state: _LaneState, cause: str, *, root: str = "") -> None:
        title = state.next.step.title
        self._sink(LaneSkipped(lane=state.lane.name, title=title, cause=cause))
        state.outcome = LaneOutcome(lane=state.lane.name, status=LaneStatus.SKIPPED, step=title, cause=cause)
        self._fail_gates(state, root or cause)

    def _fail_gates(self, state: _LaneState, cause: str) -> None:
        for lane_step in state.lane.steps[state.position :]:
            for gate in lane_step.opens:
                self._failed.setdefault(gate, cause)

    def _now_s(self) -> float:
        return self._clock.now_s() - self._began_s

    def _report(self) -> Report:
        outcomes = tuple(state.outcome for state in self._lanes.values() if state.outcome is not None)
        all_done = all(outcome.status is LaneStatus.DONE for outcome in outcomes)
        return Report(
            command=self._plan.command,
            cluster=self._plan.cluster,
            outcomes=outcomes,
            steps=tuple(self._records),
            took_s=self._now_s(),
            interrupted=self._stop.is_set() and not all_done,
        )

"""Runs of several plans, one after the other, reported as one: one start, one end, times from the first start on."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType

from bootstrap.events import (
    Event,
    EventSink,
    LanesAdded,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
    Waited,
)
from bootstrap.ports import Clock


class OneRun:
    """A sink for the events of several runs, and a context manager: leaving it reports the end.

    Args:
        sink: Hears one run.
        clock: The runs' own.

    Attributes:
        offset_s: When the last run began, in seconds since the first did.
    """

    def __init__(self, sink: EventSink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._first: RunStarted | None = None
        self._began_s = 0.0
        self._lanes: set[str] = set()
        self._earlier: set[str] = set()
        self._busy_s: dict[str, float] = {}
        self._phases: dict[str, float] = {}
        self._held: RunFinished | None = None
        self.offset_s = 0.0

    def __enter__(self) -> OneRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._sink(held)

    def __call__(self, event: Event) -> None:
        """Take an event."""
        match event:
            case RunStarted():
                self._start(event)
            case RunFinished():
                self._finish(event)
            case StepFinished() | StepFailed():
                self._busy_s[event.lane] = self._busy_s.get(event.lane, 0.0) + event.took_s
                self._sink(replace(event, at_s=event.at_s + self.offset_s))
            case StepStarted() | Waited():
                self._sink(replace(event, at_s=event.at_s + self.offset_s))
            case LanesAdded():
                self._lanes.update(name for name, _ in event.lanes)
                self._sink(event)
            case _:
                self._sink(event)

    def _start(self, event: RunStarted) -> None:
        self._earlier |= self._lanes
        self._lanes = {name for name, _ in event.lanes}
        if self._first is None:
            self._first, self._began_s = event, self._clock.now_s()
            self._sink(event)
        else:
            self._held, self.offset_s = None, self._clock.now_s() - self._began_s
            self._sink(LanesAdded(lanes=event.lanes))

    def _finish(self, event: RunFinished) -> None:
        """Hold an end that is good until another run starts, or none does any more."""
        for phase, took_s in event.phases:
            self._phases[phase] = self._phases.get(phase, 0.0) + took_s
        end = replace(
            event,
            command=self._first.command if self._first is not None else event.command,
            took_s=self.offset_s + event.took_s,
            done=event.done + len(self._earlier - self._lanes),
            phases=tuple(self._phases.items()),
            longest_lane=max(self._busy_s.items(), key=lambda lane: lane[1], default=event.longest_lane),
        )
        if event.failed or event.skipped:
            self._sink(end)
        else:
            self._held = end

"""The state of a run's lanes for the live view, updated by events. No drawing here."""

from __future__ import annotations

from dataclasses import dataclass, field

from bootstrap.cli.text.tables import step_text
from bootstrap.events import (
    Event,
    LanesAdded,
    LaneSkipped,
    LaneStatus,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
    Waited,
    Waiting,
)
from bootstrap.planning.steps import AwaitGuest


@dataclass
class LaneState:
    """One lane.

    Attributes:
        left: Steps that have not ended.
        step: Text of the running step; empty between steps.
        since_s: When the running step began, in seconds since the run began.
        busy_s: Sum of the ended steps' times.
        waiting: What it has waited for, for 15 s or more, and the last problem; else None.
        ended: How it ended; None while it goes on.
    """

    name: str
    left: int
    step: str = ""
    since_s: float = 0.0
    busy_s: float = 0.0
    waiting: tuple[str, str] | None = None
    note: str = ""
    ended: LaneStatus | None = None
    changed: bool = False
    _address: str = field(default="", repr=False)

    @property
    def fact(self) -> str:
        """The result to show: a machine's address, else the last note."""
        return self._address or self.note

    def finished(self, event: StepFinished) -> LaneState | None:
        """A step succeeded; returns the lane if it was its last step."""
        self.step, self.waiting = "", None
        self.left -= 1
        self.busy_s += event.took_s
        self.changed = self.changed or event.changed
        self.note = event.note or self.note
        if event.phase == AwaitGuest.phase:
            self._address = event.note
        if self.left > 0:
            return None
        self.ended = LaneStatus.DONE
        return self

    def stopped(self, ended: LaneStatus, *, took_s: float = 0.0) -> LaneState:
        """It ended before its last step."""
        self.step, self.waiting, self.ended = "", None, ended
        self.busy_s += took_s
        return self


@dataclass
class Board:
    """All lanes of the current run, in plan order."""

    command: str = ""
    cluster: str = ""
    lanes: dict[str, LaneState] = field(default_factory=dict)

    def update(self, event: Event) -> LaneState | None:
        """Apply an event; returns the lane that ended with it, if any."""
        match event:
            case RunStarted():
                self.command, self.cluster = event.command, event.cluster
                self.lanes = _lanes(event)
            case LanesAdded():
                self.lanes |= _lanes(event)
            case StepStarted():
                lane = self._lane(event.lane)
                lane.step, lane.since_s, lane.waiting = step_text(event.phase, event.title), event.at_s, None
            case StepFinished():
                return self._lane(event.lane).finished(event)
            case StepFailed():
                return self._lane(event.lane).stopped(LaneStatus.FAILED, took_s=event.took_s)
            case LaneSkipped():
                return self._lane(event.lane).stopped(LaneStatus.SKIPPED)
            case Waiting():
                self._lane(event.lane).waiting = (event.what, event.problem)
            case Waited():
                self._lane(event.lane).waiting = None
        return None

    def running(self) -> list[LaneState]:
        """Lanes with a running step."""
        return [lane for lane in self.lanes.values() if lane.step and not lane.ended]

    def count(self, ended: LaneStatus) -> int:
        """How many lanes ended this way."""
        return sum(lane.ended is ended for lane in self.lanes.values())

    def _lane(self, name: str) -> LaneState:
        return self.lanes.setdefault(name, LaneState(name=name, left=1))


def _lanes(event: RunStarted | LanesAdded) -> dict[str, LaneState]:
    return {name: LaneState(name=name, left=steps) for name, steps in event.lanes}

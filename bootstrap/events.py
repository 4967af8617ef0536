"""What a run reports while it goes on: frozen events, and the sink they go to.

Workers put events on the runner's queue; only the main thread hands them to a sink, so that a sink
needs no lock. Times are seconds of a monotonic clock since the run began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from bootstrap.errors import HomelabError


class LaneStatus(StrEnum):
    """How a lane ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """A run begins.

    Attributes:
        command: `up`, `down`, ...
        lanes: Each lane's name with how many steps it has.
    """

    command: str
    cluster: str
    lanes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class LanesAdded:
    """A run goes on with further lanes, which were not known when it began; as in `RunStarted`.

    A name that was there already is that of a lane which begins again: a machine that is built where it was removed.
    """

    lanes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class StepStarted:
    """A lane begins a step; `phase` groups steps over lanes (`clone`, `boot`, `install`, `join`, ...).

    Attributes:
        needs: Gates it has waited for.
    """

    lane: str
    phase: str
    title: str
    at_s: float
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepFinished:
    """A step is done.

    Attributes:
        changed: False where nothing had to be done.
        note: A fact worth a line.
        opens: Gates that are open from now on.
    """

    lane: str
    phase: str
    title: str
    at_s: float
    took_s: float
    changed: bool = True
    note: str = ""
    opens: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepFailed:
    """A step failed, and its lane with it."""

    lane: str
    phase: str
    title: str
    at_s: float
    took_s: float
    error: HomelabError


@dataclass(frozen=True, kw_only=True)
class LaneSkipped:
    """The rest of a lane is not run since what it waits for failed or the run was interrupted."""

    lane: str
    title: str
    cause: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A step has waited for `waited_s` (15 s and more), and why."""

    lane: str
    what: str
    problem: str
    waited_s: float


@dataclass(frozen=True, kw_only=True)
class Waited:
    """A wait inside a step has ended, well or not; short ones are not reported.

    Attributes:
        problem: The last reason why it had to go on.
        at_s: When it ended.
    """

    lane: str
    what: str
    problem: str
    at_s: float
    waited_s: float


@dataclass(frozen=True, kw_only=True)
class Warned:
    """Something the user should know but that stops nothing: task warnings, a full clone instead of a linked one.

    Attributes:
        danger: Whether it is said even where nothing else is: a secret is at risk.
    """

    subject: str
    message: str
    danger: bool = False


@dataclass(frozen=True, kw_only=True)
class Told:
    """A fact on the way, such as `3 machines observed`."""

    message: str


@dataclass(frozen=True, kw_only=True)
class RunFinished:
    """A run ended.

    Attributes:
        took_s: Wall time.
        phases: Each phase's wall time from its first start to its last end, in order of appearance.
        longest_lane: The lane that ended last, and the sum of its steps' own times.
    """

    command: str
    cluster: str
    took_s: float
    done: int
    failed: int
    skipped: int
    phases: tuple[tuple[str, float], ...]
    longest_lane: tuple[str, float] | None


Event = (
    RunStarted
    | LanesAdded
    | StepStarted
    | StepFinished
    | StepFailed
    | LaneSkipped
    | Waiting
    | Waited
    | Warned
    | Told
    | RunFinished
)
EventSink = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """A sink for those who do not listen."""

"""A recorded run, read from its events' JSON: which lane did what when, and waited for what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bootstrap.errors import HomelabError

RECORD_FORMAT = 1
"""Version of a recording's form, in its first line; it grows when a key changes its meaning or goes."""

Document = Mapping[str, Any]


class Outcome(StrEnum):
    """How a step ended; `open` if it did not, because the run was interrupted or killed."""

    CHANGED = "changed"
    KEPT = "kept"
    FAILED = "failed"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A wait within a step; times in seconds since the run started."""

    what: str
    problem: str
    began_s: float
    ended_s: float

    @property
    def took_s(self) -> float:
        """Seconds waited."""
        return self.ended_s - self.began_s


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A step that ran; times in seconds since the run started.

    Attributes:
        needs: Gates it waited for before it started.
        opens: Gates that it opened at its end.
        waits: In order, within its time, without overlaps.
    """

    lane: str
    phase: str
    title: str
    began_s: float
    ended_s: float
    outcome: Outcome = Outcome.CHANGED
    note: str = ""
    needs: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()
    waits: tuple[Wait, ...] = ()

    @property
    def took_s(self) -> float:
        """Seconds from start to end."""
        return self.ended_s - self.began_s

    @property
    def waited_s(self) -> float:
        """Seconds it waited."""
        return sum(wait.took_s for wait in self.waits)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A lane that failed, or was skipped from a step on (`skipped`; then `brief` is the cause)."""

    lane: str
    title: str
    at_s: float
    brief: str
    details: str = ""
    resolution: str = ""
    skipped: bool = False


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A run.

    Attributes:
        began: ISO 8601, UTC; empty if the recording does not say.
        took_s: Wall time; up to the last event if the run did not finish.
        lanes: In plan order.
        bars: By the time of their end; unfinished steps last.
        warnings: Subject, message and time.
        ended: False if it was killed.
    """

    command: str
    cluster: str
    began: str
    took_s: float
    lanes: tuple[str, ...]
    bars: tuple[Bar, ...]
    failures: tuple[Failure, ...] = ()
    warnings: tuple[tuple[str, str, float], ...] = ()
    ended: bool = True


@dataclass
class _Reading:
    """The state while documents are read."""

    began: str = ""
    command: str = ""
    cluster: str = ""
    took_s: float = 0.0
    ended: bool = False
    lanes: dict[str, None] = field(default_factory=dict)
    open: dict[str, Bar] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[tuple[str, str, float]] = field(default_factory=list)

    def take(self, document: Document) -> None:
        reader = _READERS.get(str(document.get("event")))
        at_s = float(document.get("at_s") or 0.0)
        self.took_s = max(self.took_s, at_s)
        if reader is not None:
            reader(self, document, at_s)

    def recorded(self, document: Document, _at_s: float) -> None:
        if document.get("format") != RECORD_FORMAT:
            raise HomelabError(
                f"the run was recorded in format {document.get('format')}; this version reads {RECORD_FORMAT}",
                resolution="read it with the version of homelab-k8s that recorded it",
            )
        self.began = str(document.get("began", ""))

    def run_started(self, document: Document, _at_s: float) -> None:
        self.command, self.cluster = str(document["command"]), str(document["cluster"])
        self.lanes = dict.fromkeys(str(lane["name"]) for lane in document["lanes"])

    def lanes_added(self, document: Document, _at_s: float) -> None:
        self.lanes |= dict.fromkeys(str(lane["name"]) for lane in document["lanes"])

    def step_started(self, document: Document, at_s: float) -> None:
        lane = str(document["lane"])
        self.lanes.setdefault(lane)
        self.open[lane] = Bar(
            lane=lane,
            phase=str(document["phase"]),
            title=str(document["title"]),
            began_s=at_s,
            ended_s=at_s,
            outcome=Outcome.OPEN,
            needs=tuple(map(str, document.get("needs") or ())),
        )

    def step_finished(self, document: Document, at_s: float) -> None:
        outcome = Outcome.CHANGED if document.get("changed", True) else Outcome.KEPT
        opens = tuple(map(str, document.get("opens") or ()))
        self._close(document, at_s, outcome, note=str(document.get("note") or ""), opens=opens)

    def step_failed(self, document: Document, at_s: float) -> None:
        self._close(document, at_s, Outcome.FAILED)
        error = document.get("error") or {}
        self.failures.append(
            Failure(
                lane=str(document["lane"]),
                title=str(document["title"]),
                at_s=at_s,
                brief=str(error.get("brief") or ""),
                details=str(error.get("details") or ""),
                resolution=str(error.get("resolution") or ""),
            )
        )

    def lane_skipped(self, document: Document, at_s: float) -> None:
        lane, title = str(document["lane"]), str(document["title"])
        self.failures.append(
            Failure(lane=lane, title=title, at_s=at_s, brief=str(document.get("cause") or ""), skipped=True)
        )
        if lane in self.open:  # how an interrupted step ends
            self._close(document, at_s, Outcome.OPEN)

    def waited(self, document: Document, at_s: float) -> None:
        bar = self.open.get(str(document["lane"]))
        if bar is None:
            return
        last_s = bar.waits[-1].ended_s if bar.waits else bar.began_s
        wait = Wait(
            what=str(document["what"]),
            problem=str(document.get("problem") or ""),
            began_s=max(last_s, at_s - float(document["waited_s"])),
            ended_s=max(last_s, at_s),
        )
        self.open[bar.lane] = replace(bar, waits=(*bar.waits, wait))

    def warned(self, document: Document, at_s: float) -> None:
        self.warnings.append((str(document["subject"]), str(document["message"]), at_s))

    def run_finished(self, document: Document, _at_s: float) -> None:
        self.took_s = max(self.took_s, float(document["took_s"]))
        self.ended = True

    def _close(
        self, document: Document, at_s: float, outcome: Outcome, *, note: str = "", opens: tuple[str, ...] = ()
    ) -> None:
        bar = self.open.pop(str(document["lane"]), None)
        if bar is None:
            return
        ended_s = max(at_s, bar.waits[-1].ended_s if bar.waits else bar.began_s)
        self.bars.append(replace(bar, ended_s=ended_s, outcome=outcome, note=note, opens=opens))

    def run(self) -> RecordedRun:
        left = [replace(bar, ended_s=max(self.took_s, bar.began_s)) for bar in self.open.values()]
        return RecordedRun(
            command=self.command,
            cluster=self.cluster,
            began=self.began,
            took_s=self.took_s,
            lanes=tuple(self.lanes),
            bars=(*self.bars, *left),
            failures=tuple(self.failures),
            warnings=tuple(self.warnings),
            ended=self.ended,
        )


_READERS = {
    "recorded": _Reading.recorded,
    "run_started": _Reading.run_started,
    "lanes_added": _Reading.lanes_added,
    "step_started": _Reading.step_started,
    "step_finished": _Reading.step_finished,
    "step_failed": _Reading.step_failed,
    "lane_skipped": _Reading.lane_skipped,
    "waited": _Reading.waited,
    "warned": _Reading.warned,
    "run_finished": _Reading.run_finished,
}


def read_run(documents: Iterable[Document]) -> RecordedRun:
    """A run from its events' JSON, in order; unknown events are skipped.

    Raises:
        HomelabError: It is no recorded run, or one of another form.
    """
    reading = _Reading()
    try:
        for document in documents:
            reading.take(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_run(f"{type(error).__name__}: {error}") from error
    if not reading.command:
        raise _no_run("it has no start of a run")
    return reading.run()


def parse_run(text: str) -> RecordedRun:
    """A run from a recording with one JSON object a line. A last line that is cut off is skipped.

    Raises:
        HomelabError: It is no recorded run, or one of another form.
    """
    documents = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            documents.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            if number < len(lines):
                raise _no_run(f"line {number} is not JSON: {error}") from error
    return read_run(documents)


def _no_run(details: str) -> HomelabError:
    return HomelabError("this is not a recorded run", details=details)

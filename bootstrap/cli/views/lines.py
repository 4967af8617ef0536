"""Views that only append: plain lines, JSON lines, and errors only."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import TextIO

from bootstrap.cli.text.documents import error_document, event_document
from bootstrap.cli.text.tables import seconds, step_text
from bootstrap.cli.text.wrapping import columns_of, fitted
from bootstrap.cli.views.base import STOPPING
from bootstrap.cli.views.failures import render_error
from bootstrap.cli.views.shown import shown_event
from bootstrap.errors import HomelabError
from bootstrap.events import (
    Event,
    LanesAdded,
    LaneSkipped,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
    Told,
    Waiting,
    Warned,
)
from bootstrap.model.visible import visible, visible_json, visible_line
from bootstrap.model.words import count

LANE_WIDTH = 30


class QuietView:
    """Only warnings about danger and errors.

    Args:
        stream: stderr.
        colour: Whether `error:` is red.
    """

    def __init__(self, stream: TextIO, *, colour: bool = False) -> None:
        self._stream = stream
        self._colour = colour
        self._lock = threading.RLock()

    def event(self, event: Event) -> None:
        """Show a warning about danger, and nothing else."""
        if isinstance(event, Warned) and event.danger:
            self._line(f"warning: {visible_line(event.subject)}: {visible_line(event.message)}")

    def text(self, _text: str) -> None:
        """Show nothing."""

    def busy(self, _what: str) -> AbstractContextManager[None]:
        """Show nothing."""
        return nullcontext()

    def call(self, line: str) -> None:
        """Show a call, also with `--progress quiet`, since `-v` asks for it."""
        self._whole(visible_line(line))

    def error(self, error: HomelabError, *, log: str | None) -> None:
        """Show the error."""
        self._whole(render_error(error, log=log, width=columns_of(self._stream), colour=self._colour))

    def stopping(self) -> None:
        """Say so, past the stream's buffer: its lock may be held."""
        os.write(2, f"{STOPPING}\n".encode())

    def close(self) -> None:
        """Do nothing."""

    def _line(self, text: str) -> None:
        self._whole(fitted(text, columns_of(self._stream)))

    def _whole(self, text: str) -> None:
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()


class PlainView(QuietView):
    """One line per event: `[ 12.3s] demo-workers-1  boot: wait for the guest … done (4.1 s) 198.18.100.3`.

    A step ends with `done` if it changed something, and with `ok` if nothing had to be changed.

    Args:
        stream: stderr.
        colour: Whether `error:` is red.
        now_s: Seconds of a monotonic clock, for events that carry no time.
    """

    def __init__(self, stream: TextIO, *, colour: bool = False, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, colour=colour)
        self._now_s = now_s
        self._began_s = now_s()
        self._width = 0

    def text(self, text: str) -> None:
        """Show text."""
        self._line(visible(text))

    def busy(self, what: str) -> AbstractContextManager[None]:
        """Say it once."""
        self._line(f"{visible_line(what)} …")
        return nullcontext()

    def event(self, event: Event) -> None:
        """Show an event as a line."""
        event = shown_event(event)
        match event:
            case RunStarted() | LanesAdded():
                self._lanes(event)
            case StepStarted():
                self._at(event.at_s, event.lane, f"{step_text(event.phase, event.title)} …")
            case StepFinished() | StepFailed():
                self._at(event.at_s, event.lane, _step_end(event))
            case LaneSkipped():
                self._at(None, event.lane, f"skipped “{event.title}”: {event.cause}")
            case Waiting():
                problem = f": {event.problem}" if event.problem else ""
                self._at(None, event.lane, f"still waiting for {event.what} ({seconds(event.waited_s)}){problem}")
            case Warned():
                self._at(None, event.subject, f"warning: {event.message}")
            case Told():
                self._at(None, "", event.message)
            case RunFinished():
                self._at(event.took_s, event.cluster, f"{event.command} ended: {ends(event)}")

    def call(self, line: str) -> None:
        """Show a call as a line."""
        self._at(None, "", visible_line(line))

    def _lanes(self, event: RunStarted | LanesAdded) -> None:
        """A run starts, or gets more lanes."""
        longest = max((len(name) for name, _ in event.lanes), default=0)
        self._width = min(LANE_WIDTH, max(self._width, longest))
        if isinstance(event, RunStarted):
            self._began_s = self._now_s()
            self._at(0.0, event.cluster, f"{event.command} starts: {count(len(event.lanes), 'task')}")

    def _at(self, at_s: float | None, subject: str, text: str) -> None:
        at_s = self._now_s() - self._began_s if at_s is None else at_s
        name = f"{subject:<{self._width}}  " if subject else ""
        self._line(f"[{at_s:6.1f}s] {name}{text}")


class JsonView(QuietView):
    """One JSON object per event and line, errors too; nothing else is written to stderr."""

    def event(self, event: Event) -> None:
        """Show an event."""
        self._object(event_document(event))

    def error(self, error: HomelabError, *, log: str | None) -> None:
        """Show the error."""
        self._object(error_document(error, log=log))

    def call(self, line: str) -> None:
        """Show a call."""
        self._object({"event": "call", "message": line})

    def stopping(self) -> None:
        """Say so, past the stream's buffer: its lock may be held."""
        os.write(2, (json.dumps({"event": "stopping", "message": STOPPING}) + "\n").encode())

    def _object(self, document: dict[str, object]) -> None:
        time_text = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._whole(visible_json(json.dumps({"time": time_text, **document}, ensure_ascii=False)))


def _step_end(event: StepFinished | StepFailed) -> str:
    if isinstance(event, StepFailed):
        end, note = "FAILED", str(event.error)
    else:
        end, note = "done" if event.changed else "ok", event.note
    return f"{step_text(event.phase, event.title)} … {end} ({seconds(event.took_s)}) {note}".rstrip()


def ends(event: RunFinished) -> str:
    """`3 done, 1 failed, 2 skipped`."""
    parts = [f"{event.done} done"]
    parts += [f"{count} {word}" for count, word in ((event.failed, "failed"), (event.skipped, "skipped")) if count]
    return ", ".join(parts)

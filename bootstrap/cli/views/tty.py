"""The live view: a line for each running lane, redrawn in place, and a line for each lane that has ended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bootstrap.cli.text.tables import seconds, step_text
from bootstrap.cli.text.wrapping import columns_of, fitted, wrapped
from bootstrap.cli.views.base import STOPPING
from bootstrap.cli.views.failures import render_error
from bootstrap.cli.views.lanes import Board, LaneState
from bootstrap.cli.views.lines import ends
from bootstrap.cli.views.shown import shown_event
from bootstrap.errors import HomelabError
from bootstrap.events import Event, LaneSkipped, LaneStatus, RunFinished, RunStarted, StepFailed, Told, Warned
from bootstrap.model.visible import visible, visible_line

FRAMES = {True: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", False: "|/-\\"}
SIGNS = {
    True: {"done": "✓", "failed": "✗", "skipped": "○", "wait": "↳", "warn": "!"},
    False: {"done": "+", "failed": "x", "skipped": "-", "wait": ">", "warn": "!"},
}
STYLES = {"done": "green", "failed": "bold red", "skipped": "yellow"}
REFRESH_HZ = 8
NAME_WIDTH = 28
_HANG = 2


class TtyView:
    """For a terminal.

    Args:
        stream: stderr.
        colour: False for `NO_COLOR`.
        now_s: Seconds of a monotonic clock.
    """

    def __init__(self, stream: TextIO, *, colour: bool = True, now_s: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._colour = colour
        self._console = Console(file=stream, no_color=not colour, highlight=False, markup=False, emoji=False)
        self._unicode = self._console.encoding.lower().startswith("utf")
        self._now_s = now_s
        self._began_s = now_s()
        self._board = Board()
        # The live display draws in its own thread, so that times advance while the main thread waits.
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._busy = ""
        self._stopping = False

    def event(self, event: Event) -> None:
        """Show an event."""
        event = shown_event(event)
        with self._lock:
            ended = self._board.update(event)
        match event:
            case RunStarted():
                self._began_s = self._now_s()
                self._start()
            case RunFinished():
                self._stop()
                if event.failed or event.skipped:
                    self._put(Text(), f"{event.command} of {event.cluster}: {ends(event)}", style="yellow")
            case Warned():
                self._put(Text(f"{self._sign('warn')} {event.subject}: ", style="yellow"), event.message)
            case Told():
                self._put(Text(), event.message, style="dim")
            case _ if ended is not None and ended.ended is not None:
                self._put_end(ended, ended.ended, event)

    def text(self, text: str) -> None:
        """Show text, wrapped between words."""
        self._print(Text(fitted(visible(text), columns_of(self._stream))))

    def call(self, line: str) -> None:
        """Show a call above the live display; Rich keeps threads apart."""
        self._put(Text(), visible_line(line), style="dim")

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Show a line while something is in progress; it disappears afterwards."""
        with self._lock:
            self._busy = visible_line(what)
        self._start()
        try:
            yield
        finally:
            self._stop()
            with self._lock:
                self._busy = ""

    def error(self, error: HomelabError, *, log: str | None) -> None:
        """Show the error."""
        self.close()
        text = render_error(error, log=log, width=columns_of(self._stream), colour=self._colour)
        self._stream.write(text + "\n")
        self._stream.flush()

    def stopping(self) -> None:
        """Say so: in the live display if there is one, which redraws itself."""
        self._stopping = True
        if self._live is None:
            os.write(2, f"{STOPPING}\n".encode())

    def close(self) -> None:
        """End the live display."""
        self._stop()

    def lines(self, *, width: int, height: int) -> list[Text]:
        """The live part, at most `height` lines of at most `width` columns."""
        with self._lock:
            if self._busy:
                elapsed = self._now_s() - self._began_s
                return [self._cut(Text(f"{self._frame()} {self._busy} ({elapsed:.0f} s)"), width)]
            rows = self._lane_rows(width, max(1, height - 1 - self._stopping))
            rows.append(self._cut(self._summary(), width))
            if self._stopping:
                rows.append(self._cut(Text(STOPPING, style="bold yellow"), width))
            return rows

    def __rich__(self) -> Group:
        """What the live display draws now."""
        width, height = self._console.size
        return Group(*self.lines(width=width, height=max(3, height - 1)))

    def _lane_rows(self, width: int, room: int) -> list[Text]:
        running = self._board.running()
        name_width = min(
            NAME_WIDTH, width // 3, max((len(lane.name) for lane in self._board.lanes.values()), default=0)
        )
        blocks = [self._lane_block(lane, name_width, width) for lane in running]
        lines = sum(map(len, blocks))
        if lines <= room:
            return [self._cut(row, width) for block in blocks for row in block]
        # If not all lanes fit, those that wait long come first: they need attention.
        blocks.sort(key=len, reverse=True)
        rows: list[Text] = []
        shown = 0
        for block in blocks:
            if len(rows) + len(block) > room - 1:
                break
            rows += block
            shown += 1
        rows.append(Text(f"  … and {len(blocks) - shown} more running", style="dim"))
        return [self._cut(row, width) for row in rows]

    def _lane_block(self, lane: LaneState, name_width: int, width: int) -> list[Text]:
        took_s = max(0.0, self._now_s() - self._began_s - lane.since_s)
        name = lane.name if len(lane.name) <= name_width else lane.name[: name_width - 1] + "…"
        rows = [
            Text.assemble(
                (f"{self._frame()} ", "cyan"), f"{name:<{name_width}} ", (f"{took_s:5.0f}s  ", "dim"), lane.step
            )
        ]
        if lane.waiting is not None:
            rows.append(Text(f"  {self._sign('wait')} {_waiting(*lane.waiting, width=width - 6)}", style="yellow"))
        return rows

    def _summary(self) -> Text:
        board = self._board
        total, running = len(board.lanes), len(board.running())
        ended = sum(bool(lane.ended) for lane in board.lanes.values())
        parts = [
            f"{board.count(LaneStatus.DONE)}/{total} done",
            f"{running} running",
            f"{total - running - ended} waiting",
        ]
        parts += [f"{count} {word}" for word in (LaneStatus.FAILED, LaneStatus.SKIPPED) if (count := board.count(word))]
        elapsed = seconds(self._now_s() - self._began_s)
        return Text(f"  {board.command} {board.cluster}  {elapsed}  {', '.join(parts)}", style="bold")

    def _put_end(self, lane: LaneState, status: LaneStatus, event: Event) -> None:
        width = min(NAME_WIDTH, max(len(name) for name in self._board.lanes))
        start = Text.assemble(
            (f"{self._sign(status)} ", STYLES[status]),
            f"{lane.name:<{width}}  ",
            f"{seconds(lane.busy_s):>7}  ",
        )
        match event:
            case StepFailed():
                brief = event.error.brief.removeprefix(f"{lane.name}: ")
                self._put(start, f"{step_text(event.phase, event.title)}: {brief}", style="red")
            case LaneSkipped():
                self._put(start, f"skipped “{event.title}”: {event.cause}", style="yellow")
            case _:
                self._put(start, lane.fact, style="dim")

    def _put(self, start: Text, body: str, *, style: str = "") -> None:
        """Print a start and a text, wrapped below itself, or further left if there is little room."""
        width = self._console.width
        hang = len(start) if 0 < len(start) <= width // 2 else _HANG
        lines = wrapped(body, width=width, first=start.plain, rest=" " * hang)
        text = start.copy()
        text.append(lines[len(start.plain) :], style=style)
        text.rstrip()
        self._print(text)

    def _print(self, text: Text) -> None:
        """Print lines that already fit, or that are copied and must stay whole."""
        self._console.print(text, soft_wrap=True)

    def _start(self) -> None:
        self._began_s = self._now_s()
        self._live = Live(
            self, console=self._console, refresh_per_second=REFRESH_HZ, transient=True, redirect_stdout=False,
            redirect_stderr=False, vertical_overflow="crop",
        )  # fmt: skip
        self._live.start()

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _frame(self) -> str:
        frames = FRAMES[self._unicode]
        return frames[int(self._now_s() * REFRESH_HZ) % len(frames)]

    def _sign(self, name: str) -> str:
        return SIGNS[self._unicode][name]

    @staticmethod
    def _cut(text: Text, width: int) -> Text:
        text.truncate(max(1, width - 1), overflow="ellipsis")
        text.no_wrap = True
        return text


def _waiting(what: str, problem: str, *, width: int) -> str:
    """What a lane waits for and why; only why, if both do not fit."""
    text = f"waiting for {what}: {problem}" if problem else f"waiting for {what}"
    return text if len(text) <= width or not problem else problem

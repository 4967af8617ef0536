"""Errors as people read them: what failed, what the other side said, what to do next, where the log is."""

from __future__ import annotations

import textwrap
from pathlib import Path

from bootstrap.cli.text.wrapping import DETAILS_INDENT, fitted
from bootstrap.errors import HomelabError
from bootstrap.model.visible import visible, visible_line

START = "error:"
RED, BOLD, PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"


def render_error(error: HomelabError, *, log: str | None, width: int = 0, colour: bool = False) -> str:
    """The error as text, wrapped to a width (0: no limit), without a final newline."""
    lines = [f"{START} {visible_line(error.brief)}"]
    if error.details:
        lines.append(textwrap.indent(visible(error.details), DETAILS_INDENT))
    if error.resolution:
        first, *others = visible(error.resolution).splitlines()
        lines += [f"→ {first}", *(f"  {line}" for line in others)]
    if log:
        lines.append(_log_line(visible_line(log), width))
    text = fitted("\n".join(lines), width)
    return text.replace(START, f"{BOLD}{RED}{START}{PLAIN}", 1) if colour else text


def _log_line(log: str, width: int) -> str:
    """The path of the log, with `~` if it does not fit otherwise."""
    line, home = f"log: {log}", f"{Path.home()}/"
    return f"log: ~/{log.removeprefix(home)}" if width and len(line) > width and log.startswith(home) else line

"""Errors as people read them: what failed, what the other side said, what to do next, where the log is."""

from __future__ import annotations

import textwrap

from bootstrap.cli.text.wrapping import DETAILS_INDENT
from bootstrap.errors import HomelabError
from bootstrap.model.visible import visible, visible_line

RED, BOLD, PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"


def render_error(error: HomelabError, *, log: str | None, colour: bool = False) -> str:
    """The error as text, without the last line's end."""
    start = f"{BOLD}{RED}error:{PLAIN}" if colour else "error:"
    lines = [f"{start} {visible_line(error.brief)}"]
    if error.details:
        lines.append(textwrap.indent(visible(error.details), DETAILS_INDENT))
    if error.resolution:
        first, *others = visible(error.resolution).splitlines()
        lines += [f"→ {first}", *(f"  {line}" for line in others)]
    if log:
        lines.append(f"log: {visible_line(log)}")
    return "\n".join(lines)

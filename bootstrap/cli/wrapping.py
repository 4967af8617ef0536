"""Lines that end between words. Pure."""

from __future__ import annotations

import re
import shutil
import sys
from typing import Final

PIPE_WIDTH: Final = 0
"""Of what is no terminal: programs and files get each line whole."""

_COMMAND = re.compile(r"`[^`\n]+`")
_HELD = "\0"


def terminal_width(stream: object) -> int:
    """The columns of the terminal behind a stream, 80 where it does not tell; 0 where it is no terminal."""
    if not (stream in (sys.stdout, sys.stderr) and getattr(stream, "isatty", bool)()):
        return PIPE_WIDTH
    return shutil.get_terminal_size().columns


def wrapped(text: str, *, width: int, first: str = "", rest: str = "") -> str:
    """A text in lines of at most so many columns; what stands in backticks stays on one line, to be pasted.

    Args:
        text: One line.
        width: Columns; 0 for as many as it takes.
        first: What the first line begins with.
        rest: What the others begin with.
    """
    if not width:
        return first + text
    import textwrap  # `--help` wraps nothing

    held = _COMMAND.sub(lambda found: found[0].replace(" ", _HELD), text)
    lines = textwrap.fill(
        held,
        width=max(width, 20),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(_HELD, " ")

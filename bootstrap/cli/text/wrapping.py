"""Wraps text to the terminal: tables leave columns out, other text is wrapped between words.

Without a terminal, lines and tables stay whole. Pure but for `columns_of`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final, TextIO

UNKNOWN: Final = 80
"""Columns of a terminal of unknown width."""
NARROWEST: Final = 20
COMMANDS: Final = (
    "pveum ",
    "pvesh ",
    "pvesm ",
    "pvenode ",
    "qm ",
    "kubectl ",
    "homelab-k8s ",
    "ssh-ed25519 ",
)
"""A line that starts with one of these is to be copied: it is never wrapped."""
_BEFORE_ONE = re.compile(r"( *(?:next|then|log):) (.*)")
"""A command after one of these words gets its own line if it does not fit."""
_LAST_COLUMN: Final = 24
"""Minimal width of a table's last column, which is wrapped, before other columns are left out."""
_HANG: Final = 2
_FINGERPRINT_COLUMNS: Final = 95
DETAILS_INDENT: Final = "  "
"""Indentation of an error's details."""
_SPAN = re.compile(r"`[^`\n]+`")
_START = re.compile(r" *(?:\[ *[\d.]+s\] |- |→ |\d+\. |\S+(?: \S+)?(?= {2}) +)?")
_OF_A_NODE = re.compile(r"(?<=: )(?:qm|pct|pveum|pvesh|pvesm|pvenode|pvecm) [^`;]+")
"""A command for a Proxmox node that ends a sentence, as in `as root on pve1: qm unlock 7000`."""
_UNIT = re.compile(r"(?<=\d) (?=(?:s|min|h|days?|[KMGT]iB)\b)")
"""Between a number and its unit."""
_FINGERPRINT = re.compile(r"((?:[0-9A-F]{2}:){16})((?:[0-9A-F]{2}:){15}[0-9A-F]{2})")
"""A SHA-256 fingerprint takes 95 columns; in two lines, its halves can be compared."""
_HELD = "\0"


def columns_of(stream: TextIO) -> int:
    """The columns of a stream's terminal; 0 if it has none."""
    if not stream.isatty():
        return 0
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdigit() and 0 < int(said) < 10_000:
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or UNKNOWN
    except (OSError, ValueError):
        return UNKNOWN


def wrapped(text: str, *, width: int, first: str = "", rest: str = "") -> str:
    """A text wrapped to a width; text in backticks stays on one line, to be pasted.

    Args:
        text: One line.
        width: Columns; 0 for no limit.
        first: Start of the first line.
        rest: Start of the other lines.
    """
    if not width:
        return first + text
    import textwrap  # `--help` wraps nothing

    if width < len(rest) + _FINGERPRINT_COLUMNS:
        text = _FINGERPRINT.sub(r"\1 \2", text)
    held = _SPAN.sub(lambda found: found[0].replace(" ", _HELD), text)
    held = _OF_A_NODE.sub(lambda found: found[0].replace(" ", _HELD), held)
    held = _UNIT.sub(_HELD, held)
    lines = textwrap.fill(
        held,
        width=max(width, NARROWEST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(_HELD, " ")


def fitted(text: str, width: int) -> str:
    """A text of any number of lines; long lines are wrapped, and indented to where their own text starts."""
    return "\n".join(_fitted(line, width) for line in text.split("\n")) if width else text


def _fitted(line: str, width: int) -> str:
    if len(line) <= width or line.lstrip(" →").startswith(COMMANDS):
        return line
    ahead = _BEFORE_ONE.fullmatch(line)
    if ahead is not None:
        return f"{ahead[1]}\n  {ahead[2]}"
    if line.startswith("# "):  # a comment among commands stays one
        return wrapped(line[2:], width=width, first="# ", rest="# ")
    start = _START.match(line)
    indent = start.end() if start is not None and start.end() <= width // 2 else len(line) - len(line.lstrip(" "))
    hang = 0 if line[:indent].strip() or _FINGERPRINT.fullmatch(line.strip()) else _HANG
    return wrapped(line[indent:], width=width, first=line[:indent], rest=" " * (indent + hang))


def chosen_columns(lines: Sequence[Sequence[str]], *, width: int, drop: Sequence[str]) -> list[tuple[str, ...]]:
    """A table's lines, heading first, with the columns that fit.

    Args:
        lines: Of equal length.
        width: Columns; 0 for no limit.
        drop: Headings of columns that may be left out, the least important first.
    """
    headings = list(lines[0])
    order = iter(drop)
    while width and not has_room(lines, headings, width):
        least = next(order, None)
        if least is None:
            break
        if least in headings:
            headings.remove(least)
    kept = [index for index, heading in enumerate(lines[0]) if heading in headings]
    return [tuple(line[index] for index in kept) for line in lines]


def has_room(lines: Sequence[Sequence[str]], headings: Sequence[str], width: int) -> bool:
    """Whether the columns with these headings fit, the last one in several lines if need be."""
    kept = [index for index, heading in enumerate(lines[0]) if heading in headings]
    widths = [max(len(line[index]) for line in lines) for index in kept]
    word = max(len(word) for line in lines for word in (line[kept[-1]].split() or [""]))
    last = min(widths[-1], max(_LAST_COLUMN, word))
    return sum(widths[:-1]) + 2 * (len(kept) - 1) + last <= width


def table_text(lines: Sequence[Sequence[str]], *, width: int = 0) -> str:
    """Columns as wide as their widest cell, two spaces apart, no line with trailing spaces.

    Args:
        lines: Of equal length.
        width: Columns; 0 for no limit. The last column is wrapped.
    """
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = []
    for line in lines:
        start = "".join(f"{cell:<{most}}  " for cell, most in zip(line[:-1], widths, strict=False))
        rows.append(wrapped(line[-1], width=width, first=start, rest=" " * len(start)).rstrip())
    return "\n".join(rows)


def paragraphs_text(lines: Sequence[Sequence[str]], *, width: int) -> str:
    """A table that does not fit: each row's first cell, and the others below it with their headings."""
    headings, *rows = lines
    margin = max(map(len, headings[1:]), default=0)
    shown = []
    for first, *cells in rows:
        shown.append(first)
        for heading, cell in zip(headings[1:], cells, strict=True):
            start = f"  {heading:<{margin}}  "
            shown.append(wrapped(cell, width=width, first=start, rest=" " * len(start)))
    return "\n".join(shown)

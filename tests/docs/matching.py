"""Compares the output that a page shows with what was printed.

A line `...` on the page stands for any lines, and `...` within a line for any text. What is another one each time
(times, ages, hashes, keys, the seconds in names of snapshots) counts as equal, and so does the width of columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

LEFT_OUT = "..."
PROGRESS = re.compile(r"\[ *\d+\.\d s\]|\[ *\d+\.\ds\]|(reading|connecting to) .*…$")
"""Lines that a terminal shows for a moment."""
SECOND = re.compile(r"\b1[6-9]\d{8}\b")
"""Of the Unix time: snapshots have it in their names."""
VARIES = (
    (re.compile(r"\b[0-9A-F]{2}(:[0-9A-F]{2}){31}\b"), "FINGERPRINT"),
    (re.compile(r"\bAAAA[\w+/=]{20,}"), "KEY"),
    (SECOND, "SECOND"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z?"), "TIME"),
    (re.compile(r"\b\d{8}-\d{6}\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? s\b|\b\d+ min\b( \d+ s)?"), "TOOK"),
    (re.compile(r"\b(\d+h)?(\d+m)?\d+s(?=$| )|\b(\d+h)?\d+m(?=$| )"), "AGE"),
    (re.compile(r"\b\d+(\.\d+)? (KiB|MiB free|GiB free)"), "SIZE"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "HASH"),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True)
class Difference:
    """Where a page differs from what was printed: the index of its line, that line, and the printed ones from there."""

    at: int
    shown: str
    printed: tuple[str, ...]


def printed_lines(text: str) -> list[str]:
    """Output as pages show it: without progress, and without empty lines at its ends."""
    lines = [line.rstrip() for line in text.splitlines() if not PROGRESS.match(line)]
    return "\n".join(lines).strip("\n").splitlines()


def abridged(printed: Sequence[str]) -> list[str]:
    """Output as it is written into a page: without what took how long, which has another order each time."""
    lines = [LEFT_OUT if line.startswith(("phases: ", "slowest: ")) else line for line in printed]
    return [line for at, line in enumerate(lines) if line != LEFT_OUT or lines[at - 1 : at] != [LEFT_OUT]]


def difference(shown: Sequence[str], printed: Sequence[str]) -> Difference | None:
    """The first line of the page that was not printed, or the first printed one that it lacks; None: all is equal."""
    position, skips = 0, False
    for at, line in enumerate(shown):
        if line.strip() == LEFT_OUT:
            skips = True
            continue
        found = position
        while skips and found < len(printed) and not same(line, printed[found]):
            found += 1
        if found == len(printed) or not same(line, printed[found]):
            return Difference(at, line, tuple(printed[position:]))
        position, skips = found + 1, False
    if position < len(printed) and not skips:
        return Difference(len(shown), "", tuple(printed[position:]))
    return None


def renewed(shown: Sequence[str], printed: Sequence[str]) -> list[str]:
    """What a page is to show: its own lines, each that is not printed any more replaced by the one most like it.

    Where there is none like it, all of the output.
    """
    lines = list(shown)
    while (found := difference(lines, printed)) is not None:
        close = get_close_matches(found.shown, found.printed, 1) if found.shown else []
        if not close or close == lines[found.at : found.at + 1]:
            return abridged(printed)
        lines[found.at] = close[0]
    return lines


def same(shown: str, printed: str) -> bool:
    """Whether a line of a page is this printed one."""
    pattern = ".*".join(re.escape(_plain(part)) for part in shown.split(LEFT_OUT))
    return re.fullmatch(pattern, _plain(printed)) is not None


def _plain(text: str) -> str:
    for varies, word in VARIES:
        text = varies.sub(word, text)
    return text.rstrip()


def seconds_by_page(shown: Sequence[str], printed: Sequence[str]) -> dict[str, str]:
    """The Unix times on the page, and which ones were printed in their place."""
    found: dict[str, str] = {}
    for line in shown:
        match = next((other for other in printed if same(line, other)), "") if SECOND.search(line) else ""
        found |= dict(zip(SECOND.findall(line), SECOND.findall(match), strict=False))
    return found

"""What a real k3s v1.36.3 writes for each failure, what systemd writes beside it, and what every good start writes."""

from __future__ import annotations

from pathlib import Path

LINES = Path(__file__).parent / "k3s_lines"


def _read(name: str) -> tuple[str, ...]:
    return tuple((LINES / name).read_text(encoding="utf-8").splitlines())


T = 'time="2026-11-28T20:03:16Z" '
GOOD_START = _read("good-start.txt")
"""Lines of every kind that a good start has, those at error level first of all."""
SYSTEMD = _read("systemd.txt")
QUIET = (*GOOD_START, *SYSTEMD, *_read("serving.txt"))
"""Nothing in it tells of a failure."""

_FAILURES = _read("failures.txt")
_CASES = [(*head.split(" | "), line) for head, line in zip(_FAILURES[::2], _FAILURES[1::2], strict=True)]
ENDS = [(line, words) for kind, words, line in _CASES if kind == "ends"]
"""The line that a run ends with, and words of the cause."""
GOING_ON = [(line, words, kind == "goes on") for kind, words, line in _CASES if kind != "ends"]
"""What a run says again and again, words of the cause, and whether waiting is in vain."""

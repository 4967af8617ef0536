"""Which kubeconfig files have our entries, and what those are known by, as the state directory keeps it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from bootstrap.records.state.lines import parse_lines, render_lines

FORMAT = 1
_MARK = re.compile(r"(?:ca|by|at):[0-9a-f]{64}")


def parse_paths(text: str | None) -> tuple[Path, ...]:
    """The files our entries were merged into, the last one first. Raises UnreadableError for a newer format."""
    return tuple(map(Path, parse_lines(text, newest=FORMAT, what="the list of kubeconfig files")))


def render_paths(paths: Iterable[Path]) -> str:
    """A path a line."""
    return render_lines(map(str, paths), form=FORMAT)


def parse_marks(text: str | None) -> frozenset[str]:
    """Marks as `render_marks` wrote them; other lines count for nothing. Raises UnreadableError for a newer format."""
    lines = parse_lines(text, newest=FORMAT, what="the marks of kubeconfig entries")
    return frozenset(line for line in lines if _MARK.fullmatch(line))


def render_marks(marks: Collection[str]) -> str:
    """A mark (`bootstrap.k3s.kubeconfig.entries`) a line."""
    return render_lines(sorted(marks), form=FORMAT)

"""The critical path: the chain of steps and gates that determined when a run ended."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.reporting.run import Bar, RecordedRun

_SAME_S = 0.002
"""Times are rounded to milliseconds, so a step may seem to start just before its cause ended."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A step on the path.

    Attributes:
        via: The gate that the previous link opened; empty after the lane's own previous step, and for the first.
        gap_s: Seconds between the end of the previous link (or the run's start) and this step's start.
    """

    bar: Bar
    via: str = ""
    gap_s: float = 0.0


def critical_path(run: RecordedRun) -> tuple[Link, ...]:
    """The chain of steps, in order of time, in which each step started because the previous one had ended.

    The last link is the step that ended last. The link before a step is the last to end of all it had to wait for: the
    previous step of its lane, and the steps that opened the gates it needs. So the steps' times and the gaps between
    them add up to the end of the last step.
    """
    if not run.bars:
        return ()
    before: dict[int, Bar] = {}
    last_of: dict[str, Bar] = {}
    openers: dict[str, Bar] = {}
    for bar in sorted(run.bars, key=lambda bar: bar.began_s):
        if bar.lane in last_of:
            before[id(bar)] = last_of[bar.lane]
        last_of[bar.lane] = bar
        for gate in bar.opens:
            openers.setdefault(gate, bar)
    bar = max(run.bars, key=lambda bar: bar.ended_s)
    links: list[Link] = []
    seen = {id(bar)}
    while True:
        via, previous = _cause(bar, before.get(id(bar)), openers, seen)
        gap_s = bar.began_s - (previous.ended_s if previous else 0.0)
        links.append(Link(bar=bar, via=via, gap_s=max(0.0, gap_s)))
        if previous is None:
            return tuple(reversed(links))
        bar = previous
        seen.add(id(bar))


def _cause(bar: Bar, before: Bar | None, openers: dict[str, Bar], seen: set[int]) -> tuple[str, Bar | None]:
    """The step after which a step started, and through which gate (empty: its own lane)."""
    candidates = [("", before)] if before is not None else []
    candidates += [(gate, openers[gate]) for gate in bar.needs if gate in openers]
    possible = [
        (via, cause)
        for via, cause in candidates
        if id(cause) not in seen and cause.ended_s <= bar.began_s + _SAME_S
    ]  # fmt: skip
    return max(possible, key=lambda item: item[1].ended_s, default=("", None))

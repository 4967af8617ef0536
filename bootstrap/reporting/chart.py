"""The chart of a run: a row for each lane, a bar for each step, waits hatched, the critical path outlined.

One SVG with widths in percent, so that it follows the page's width; names and times are HTML beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from bootstrap.reporting.critical import Link
from bootstrap.reporting.markup import html_text
from bootstrap.reporting.run import Bar, Outcome, RecordedRun, Wait
from bootstrap.reporting.texts import seconds

PHASES = (
    *("fetch", "clone", "configure", "start", "boot", "install", "join", "ready"),
    *("stop", "destroy", "forget"),
)
"""Phases with a colour of their own in `page.css`; others share one."""

_ROW_PX = ((40, 24), (150, 18))
"""Height of a row in pixels, up to a number of lanes."""
_SMALLEST_ROW_PX = 13
_TICKS = 8
_GROUND = 1.02
"""Length of the time axis, relative to the run."""


def row_px(lanes: int) -> int:
    """Height of a row with so many lanes."""
    return next((pixels for most, pixels in _ROW_PX if lanes <= most), _SMALLEST_ROW_PX)


def render_chart(run: RecordedRun, path: Sequence[Link]) -> str:
    """The chart as HTML: names, drawing, times."""
    lanes = lanes_in_order(run)
    height = row_px(len(lanes))
    critical = {link.bar.lane for link in path}
    failed = {failure.lane for failure in run.failures}
    ends = {lane: max((bar.ended_s for bar in run.bars if bar.lane == lane), default=0.0) for lane in lanes}
    names = "".join(
        f'<li class="{_classes(lane in critical, lane in failed)}" title="{html_text(lane)}">{html_text(lane)}</li>'
        for lane in lanes
    )
    times = "".join(f"<li>{seconds(ends[lane])}</li>" for lane in lanes)
    size = "tight" if height == _SMALLEST_ROW_PX else "small" if height < 24 else "roomy"
    return (
        f'<div class="chart {size}" style="--row:{height}px">'
        f'<div class="corner">machine</div><div class="axis">{_axis(run.took_s)}</div><div class="corner end">end</div>'
        f'<ol class="names">{names}</ol>{_drawing(run, path, lanes, height)}<ol class="times">{times}</ol></div>'
    )


def lanes_in_order(run: RecordedRun) -> tuple[str, ...]:
    """The lanes in plan order, machines first: the others (k3s, kubeconfig) are short."""
    shared = ("k3s", "kubeconfig", run.cluster)
    return (*(lane for lane in run.lanes if lane not in shared), *(lane for lane in run.lanes if lane in shared))


def _classes(critical: bool, failed: bool) -> str:
    return " ".join(name for name, holds in (("critical", critical), ("failed", failed)) if holds)


def _drawing(run: RecordedRun, path: Sequence[Link], lanes: Sequence[str], height: int) -> str:
    rows = {lane: index * height for index, lane in enumerate(lanes)}
    total = height * len(lanes)
    end_s = _end_s(run.took_s)
    grid = "".join(
        f'<line class="grid" x1="{_x(tick, end_s)}" x2="{_x(tick, end_s)}" y1="0" y2="{total}"/>'
        for tick in ticks(run.took_s)
    )
    stripes = "".join(
        f'<rect class="stripe" x="0" width="100%" y="{rows[lane]}" height="{height}"/>' for lane in lanes[1::2]
    )
    on_path = {id(link.bar) for link in path}
    bars = "".join(_bar(bar, rows[bar.lane], height, end_s) for bar in run.bars)
    outlines = "".join(_rect("outline", bar, rows[bar.lane], height, end_s) for bar in run.bars if id(bar) in on_path)
    return (
        f'<svg class="bars" role="img" aria-label="steps of each machine over time" width="100%" height="{total}">'
        f"{_HATCH}{stripes}{grid}{bars}{_connections(path, rows, height, end_s)}{outlines}</svg>"
    )


_HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="veil" width="6" height="6"/><line class="hatching" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>'
)


def _bar(bar: Bar, y: int, height: int, end_s: float) -> str:
    kind = bar.phase if bar.phase in PHASES else "other"
    outcome = f" {bar.outcome}" if bar.outcome in (Outcome.FAILED, Outcome.OPEN) else ""
    step = _rect(f"step {kind}{outcome}", bar, y, height, end_s)
    waits = "".join(_rect("wait", wait, y, height, end_s) for wait in bar.waits)
    return f"<g><title>{html_text(_tip(bar))}</title>{step}{waits}</g>"


def _rect(kind: str, time: Bar | Wait, y: int, height: int, end_s: float) -> str:
    inset = 2 if height < 24 else 4
    return (
        f'<rect class="{kind}" x="{_x(time.began_s, end_s)}" width="{_w(time.took_s, end_s)}" '
        f'y="{y + inset}" height="{height - 2 * inset}"/>'
    )


def _tip(bar: Bar) -> str:
    waited = f", of which {seconds(bar.waited_s)} waiting" if bar.waits else ""
    lines = [
        f"{bar.lane}: {bar.title} ({bar.phase})",
        f"{bar.began_s:.2f} s to {bar.ended_s:.2f} s: {seconds(bar.took_s)}{waited}",
    ]
    lines += [f"waited {seconds(wait.took_s)} for {wait.what}" for wait in bar.waits]
    if bar.needs:
        lines.append(f"after {', '.join(bar.needs)}")
    if bar.outcome in (Outcome.FAILED, Outcome.OPEN):
        lines.append({"failed": "FAILED", "open": "did not finish"}[bar.outcome])
    return "\n".join([*lines, bar.note] if bar.note else lines)


def _connections(path: Sequence[Link], rows: dict[str, int], height: int, end_s: float) -> str:
    """Lines from one link of the path to the next where it changes lanes."""
    lines = []
    for link, following in itertools.pairwise(path):
        if link.bar.lane == following.bar.lane:
            continue
        y1, y2 = (rows[bar.lane] + height / 2 for bar in (link.bar, following.bar))
        x1, x2 = _x(link.bar.ended_s, end_s), _x(following.bar.began_s, end_s)
        lines.append(f'<line class="path" x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}"/>')
    return "".join(lines)


def _axis(took_s: float) -> str:
    end_s = _end_s(took_s)
    return "".join(f'<span style="left:{_x(tick, end_s)}">{_tick(tick)}</span>' for tick in ticks(took_s))


def ticks(took_s: float) -> tuple[float, ...]:
    """Times to mark on an axis: round ones, about `_TICKS`."""
    if took_s <= 0:
        return (0.0,)
    rough = took_s / _TICKS
    unit = 10 ** math.floor(math.log10(rough))
    steps = [step * unit for step in (1, 2, 5, 10)] if rough < 30 else [30, 60, 120, 300, 600, 1800, 3600]
    step = next((step for step in steps if step >= rough), steps[-1])
    return tuple(number * step for number in range(int(took_s / step) + 1))


def _tick(value_s: float) -> str:
    if value_s >= 120:
        minutes, rest = divmod(round(value_s), 60)
        return f"{minutes}:{rest:02d}"
    return f"{value_s:g} s"


def _end_s(took_s: float) -> float:
    return max(took_s * _GROUND, 0.001)


def _x(at_s: float, end_s: float) -> str:
    return f"{100 * at_s / end_s:.3f}%"


def _w(took_s: float, end_s: float) -> str:
    return f"{max(0.04, 100 * took_s / end_s):.3f}%"

"""A run as one self-contained HTML page: no scripts, no network, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from bootstrap.model.words import count
from bootstrap.reporting.chart import PHASES, render_chart
from bootstrap.reporting.critical import Link, critical_path
from bootstrap.reporting.markup import html_text
from bootstrap.reporting.run import Bar, Failure, Outcome, RecordedRun, Wait
from bootstrap.reporting.texts import seconds

_STYLE = Path(__file__).with_name("page.css")
_WAITS_SHOWN = 10
_GAP_SHOWN_S = 0.05


def render_page(run: RecordedRun) -> str:
    """The page."""
    path = critical_path(run)
    title = f"{run.command} of {run.cluster}"
    parts = [
        f"<header><h1>{html_text(title)}</h1><p class=lead>{_lead(run)}</p></header>",
        _failures(run),
        f"<section><h2>Steps</h2>{_legend(run)}{render_chart(run, path)}</section>",
        _path_table(run, path),
        _phase_table(run),
        _wait_table(run),
        _warnings(run),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>{html_text(title)}</title>\n<style>\n{_STYLE.read_text(encoding="utf-8")}</style>'
        f"</head>\n<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _lead(run: RecordedRun) -> str:
    counts = [count(len(run.lanes), "task")]
    failed = sum(not failure.skipped for failure in run.failures)
    skipped = len(run.failures) - failed
    counts += [f"{number} {word}" for number, word in ((failed, "failed"), (skipped, "skipped")) if number]
    end = (
        f"in {seconds(run.took_s)}" if run.ended else f"did not finish; the recording ends after {seconds(run.took_s)}"
    )
    began = f" Started {html_text(run.began[:19].replace('T', ' '))} UTC." if run.began else ""
    return f"{', '.join(counts)}, {end}.{began}"


def _failures(run: RecordedRun) -> str:
    if not run.failures:
        return ""
    items = "".join(_failure(failure) for failure in run.failures if not failure.skipped)
    skipped: dict[str, list[str]] = {}
    for failure in run.failures:
        if failure.skipped:
            skipped.setdefault(failure.brief, []).append(failure.lane)
    causes = (f"<p>Skipped, {html_text(cause)}: {html_text(_some(lanes))}</p>" for cause, lanes in skipped.items())
    listed = (f"<ul>{items}</ul>" if items else "") + "".join(causes)
    return f'<section class="failures"><h2>What failed</h2>{listed}</section>'


def _failure(failure: Failure) -> str:
    details = f"<pre>{html_text(failure.details)}</pre>" if failure.details else ""
    todo = f"<p>→ {html_text(failure.resolution)}</p>" if failure.resolution else ""
    return (
        f"<li><strong>{html_text(failure.lane)}</strong>, {html_text(failure.title)}, "
        f"after {seconds(failure.at_s)}: {html_text(failure.brief)}{details}{todo}</li>"
    )


def _some(names: Sequence[str], most: int = 12) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _legend(run: RecordedRun) -> str:
    there = {bar.phase for bar in run.bars}
    phases = [phase for phase in PHASES if phase in there]
    entries = [f'<li><i class="{phase}"></i>{phase}</li>' for phase in phases]
    if there - set(PHASES):
        entries.append('<li><i class="other"></i>other</li>')
    entries.append('<li><i class="hatched"></i>waiting</li><li><i class="outlined"></i>critical path</li>')
    if any(bar.outcome is Outcome.FAILED for bar in run.bars):
        entries.append('<li><i class="broken"></i>failed</li>')
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _path_table(run: RecordedRun, path: Sequence[Link]) -> str:
    if not path:
        return ""
    took_s = sum(link.bar.took_s for link in path)
    waited_s = sum(link.bar.waited_s for link in path)
    gaps_s = sum(link.gap_s for link in path) + max(0.0, run.took_s - path[-1].bar.ended_s)
    rows = [
        (
            link.bar.lane,
            link.bar.phase,
            link.bar.title,
            _via(link, first=link is path[0]),
            f"{link.bar.began_s:.2f}",
            f"{link.bar.took_s:.2f}",
            f"{link.bar.waited_s:.2f}",
            _longest_wait(link.bar),
        )
        for link in path
    ]
    headings = ("machine", "phase", "step", "started after", "at (s)", "took (s)", "waited (s)", "mostly for")
    said = (
        "Each of these steps started when the one above it ended: the run gets shorter only if one of them does. "
        f"They took {seconds(took_s)}, of which {seconds(waited_s)} were spent waiting; {seconds(gaps_s)} passed "
        "outside of them."
    )
    return f"<section><h2>Critical path</h2><p>{said}</p>{_table(headings, rows, numbers=(4, 5, 6))}</section>"


def _via(link: Link, *, first: bool) -> str:
    cause = link.via or ("the start" if first else "its previous step")
    return f"{cause} (+{link.gap_s:.2f} s)" if link.gap_s >= _GAP_SHOWN_S else cause


def _longest_wait(bar: Bar) -> str:
    longest = max(bar.waits, key=lambda wait: wait.took_s, default=None)
    return _what(longest) if longest else ""


def _what(wait: Wait) -> str:
    return f"{wait.what}: {wait.problem}" if wait.problem else wait.what


def _phase_table(run: RecordedRun) -> str:
    phases: dict[str, list[Bar]] = {}
    for bar in sorted(run.bars, key=lambda bar: bar.began_s):
        phases.setdefault(bar.phase, []).append(bar)
    rows = []
    for phase, bars in phases.items():
        slowest = max(bars, key=lambda bar: bar.took_s)
        first_s, last_s = min(bar.began_s for bar in bars), max(bar.ended_s for bar in bars)
        waited = sum(bar.waited_s for bar in bars) / (sum(bar.took_s for bar in bars) or 1.0)
        rows.append(
            (
                phase,
                str(len(bars)),
                f"{first_s:.2f}",
                f"{last_s:.2f}",
                f"{last_s - first_s:.2f}",
                f"{median(bar.took_s for bar in bars):.2f}",
                f"{waited:.0%}",
                f"{slowest.lane}, {slowest.took_s:.2f} s",
            )
        )
    headings = ("phase", "steps", "from (s)", "to (s)", "took (s)", "median step (s)", "waiting", "slowest step")
    return f"<section><h2>Phases</h2>{_table(headings, rows, numbers=(1, 2, 3, 4, 5, 6))}</section>"


def _wait_table(run: RecordedRun) -> str:
    waits = sorted(
        ((bar, wait) for bar in run.bars for wait in bar.waits), key=lambda item: item[1].took_s, reverse=True
    )
    if not waits:
        return ""
    rows = [(bar.lane, bar.phase, f"{wait.took_s:.2f}", wait.what, wait.problem) for bar, wait in waits[:_WAITS_SHOWN]]
    table = _table(("machine", "phase", "waited (s)", "for", "last problem"), rows, numbers=(2,))
    return f"<section><h2>Longest waits</h2>{table}</section>"


def _warnings(run: RecordedRun) -> str:
    if not run.warnings:
        return ""
    items = "".join(f"<li>{html_text(subject)}: {html_text(message)}</li>" for subject, message, _ in run.warnings)
    return f"<section><h2>Warnings</h2><ul>{items}</ul></section>"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int]) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if column in numbers else ''}>{html_text(text)}</{tag}>"
            for column, text in enumerate(row)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells(headings, "th")}</tr></thead><tbody>{body}</tbody></table></div>'
    )

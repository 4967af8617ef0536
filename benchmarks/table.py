"""Results, as tables for the terminal and for docs/performance.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- make bench writes from here -->", "<!-- to here -->"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of one kind; every row's last cell says which benchmark repeats it."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def merge(tables: Iterable[Table]) -> tuple[Table, ...]:
    """Tables of one title become one."""
    found: dict[str, Table] = {}
    for table in tables:
        known = found.get(table.title)
        rows = (*known.rows, *table.rows) if known else table.rows
        notes = tuple(dict.fromkeys((*(known.notes if known else ()), *table.notes)))
        found[table.title] = Table(title=table.title, headings=table.headings, rows=rows, notes=notes)
    return tuple(found.values())


def render(table: Table) -> str:
    """A Markdown table that is aligned, so that it reads in a terminal, too."""
    lines = [table.headings, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headings))]
    ruler = tuple("-" * width for width in widths)
    body = "\n".join(_line(line, widths) for line in (table.headings, ruler, *table.rows))
    notes = "".join(f"\n{note}\n" for note in table.notes)
    return f"### {table.title}\n\n{body}\n{notes}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(map(str.ljust, cells, widths))} |"


def machine() -> str:
    """The machine the benchmarks run on, in one sentence."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_kib = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} shared cores ({model}), {memory_kib / 2**20:.0f} GiB, no KVM, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def write(tables: Sequence[Table], *, took_s: float, loads: tuple[float, float]) -> None:
    """Put the tables into docs/performance.md, between its marks."""
    today = datetime.now(UTC).date().isoformat()
    head = (
        f"Measured {today} on {machine()}. `make bench` took {took_s / 60:.1f} minutes; "
        f"load before and after: {loads[0]:.1f} and {loads[1]:.1f}.\n"
    )
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    body = "\n".join(map(render, tables))
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{head}\n{body}\n{END}{after}", encoding="utf-8")

"""What commands cost that talk to nobody: `--help`, completion, a dry look at the schema."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.labs import PROGRAM, Usage, measured
from benchmarks.table import Table

TIMES = 9
_COMMANDS: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("`--help`", ("--help",), {}),
    ("`up --help`", ("up", "--help"), {}),
    (
        "completion in bash",
        (),
        {"_HOMELAB_K8S_COMPLETE": "complete_bash", "COMP_WORDS": "homelab-k8s ", "COMP_CWORD": "1"},
    ),
)


def starting(name: str) -> list[Table]:
    """Each command several times; the median counts."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for what, arguments, extra in _COMMANDS:
            environ = {**os.environ, "HOME": directory, **extra}
            runs: list[Usage] = [
                measured([str(PROGRAM), *arguments], environ=environ, directory=Path(directory)) for _ in range(TIMES)
            ]
            wall_s, cpu_s = median(run.wall_s for run in runs), median(run.cpu_s for run in runs)
            rows.append(
                (what, f"{wall_s * 1000:.0f}", f"{cpu_s * 1000:.0f}", f"`.venv/bin/python -m benchmarks {name}`")
            )
    headings = ("command", "wall ms", "CPU ms", "repeat")
    return [Table(title=f"Starting up (median of {TIMES})", headings=headings, rows=tuple(rows))]

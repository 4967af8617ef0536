"""`python -m benchmarks [NAME...]`: some benchmarks, or all, as tables on stdout; all go to the document, too."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks import table
from benchmarks.baked import baked
from benchmarks.clones import clones
from benchmarks.masking import masking
from benchmarks.others import others
from benchmarks.starting import starting
from benchmarks.table import Table
from benchmarks.ups import up

Benchmark = Callable[[str], list[Table]]

BENCHMARKS: Mapping[str, Benchmark] = {
    "start": starting,
    **{
        f"up-{machines}-{pve_nodes}": partial(up, machines=machines, pve_nodes=pve_nodes)
        for machines in (4, 20, 100, 500)
        for pve_nodes in (1, 5)
    },
    "clones": partial(clones, rounds=100),
    "others-simulated": partial(others, guests="simulated", machines=10),
    "others-container": partial(others, guests="container", machines=4),
}

EXTRA: Mapping[str, Benchmark] = {
    "masking": masking,
    "others-simulated-50": partial(others, guests="simulated", machines=50, loop=False),
    "baked-container": partial(baked, guests="container"),
    "baked-qemu": partial(baked, guests="qemu", rounds=1),
}
"""Run by name only: they would make all together too long."""

SIDE_BY_SIDE = ("up-4-1", "up-4-5", "up-20-1", "up-20-5")
"""Where all are run, these are at once: together they use a tenth of two cores."""


def main(names: list[str]) -> int:
    """Run benchmarks; 2 for a name that is none."""
    known = {**BENCHMARKS, **EXTRA}
    unknown = [name for name in names if name not in known]
    if unknown:
        _say(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    # So that labs are stopped on the way out; without it SIGTERM ends the process where it stands.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began_s, load = time.monotonic(), os.getloadavg()[0]
    results: dict[str, list[Table]] = {}
    for group in [[name] for name in names] if names else _groups():
        _say(f"[{time.monotonic() - began_s:4.0f} s] {', '.join(group)}")
        with ThreadPoolExecutor(len(group)) as pool:
            done = pool.map(lambda name: (name, known[name](name)), group)
            results.update(done)
    tables = table.merge(found for name in known for found in results.get(name, ()))
    sys.stdout.write("\n".join(map(table.render, tables)))
    took_s = time.monotonic() - began_s
    if not names:
        table.write(tables, took_s=took_s, loads=(load, os.getloadavg()[0]))
    _say(f"[{took_s:4.0f} s] done")
    return 0


def _groups() -> list[list[str]]:
    alone = [[name] for name in BENCHMARKS if name not in SIDE_BY_SIDE]
    return [list(SIDE_BY_SIDE), *alone]


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Draws docs/demo.svg, the picture in the README, from the recording docs/demo.jsonl.

    .ci/demo_svg.py             draw it
    .ci/demo_svg.py --record    record a run in the lab first, with container guests (as root)

The events of the run go through the view of a terminal, so the picture changes with the view.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from bootstrap import events
from bootstrap.cli.text.wrapping import fitted
from bootstrap.cli.views.tty import TtyView

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECORDING = DOCS / "demo.jsonl"
PICTURE = DOCS / "demo.svg"
COLUMNS = 96
UP = ("up", "--lab", "--workers", "3")
Line = dict[str, Any]


class StillView(TtyView):
    """What a terminal shows in the end: nothing is drawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(io.StringIO(), now_s=lambda: 0.0)
        self._console = console
        self._unicode = True

    def _start(self) -> None:
        """Draw nothing in place."""


def read(path: Path = RECORDING) -> list[Line]:
    """The recording: what was typed, what was printed, and the events."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def drawn(recording: Iterable[Line]) -> Console:
    """A console with the recording on it."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor",
        highlight=False, markup=False, emoji=False,
    )  # fmt: skip
    view = StillView(console)
    for number, line in enumerate(recording):
        if "typed" in line:
            console.line(1 if number else 0)
            console.print(Text(f"$ {line['typed']}", style="bold"))
        elif "printed" in line:
            console.print(Text(fitted(line["printed"], COLUMNS)))
        elif (event := _event(line)) is not None:
            view.event(event)
    return console


def svg(console: Console) -> str:
    """The picture. It names no font of another site: a README's picture loads none."""
    text = console.export_svg(title="homelab-k8s", unique_id="demo", clear=False)
    text = re.sub(r"\s*@font-face \{.*?\}(?=\s*\n)", "", text, flags=re.DOTALL)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _event(line: Line) -> events.Event | None:
    name = "".join(word.title() for word in line["event"].split("_"))
    kind = getattr(events, name, None)
    if kind is None:
        return None
    values = {field.name: line[field.name] for field in fields(kind) if field.name in line}
    if "lanes" in values:
        values["lanes"] = tuple((lane["name"], lane["steps"]) for lane in values["lanes"])
    if "phases" in values:
        values["phases"] = tuple(values["phases"].items())
        values["longest_lane"] = tuple(values["longest_lane"].values())
    event: events.Event = kind(**values)
    return event


def record(guests: str) -> None:
    """Record a run."""
    with tempfile.TemporaryDirectory(prefix="hk8s-") as directory:
        state, kubeconfig = Path(directory, "state"), Path(directory, "config")
        environ = {**os.environ, "XDG_STATE_HOME": str(state), "KUBECONFIG": str(kubeconfig), "NO_COLOR": "1"}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "bootstrap", *words]
            done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
            return done

        run("lab", "start", "--guests", guests)
        try:
            first, nodes, again = run(*UP), run("kubectl", "--lab", "--", "get", "nodes"), run(*UP)
            (recorded,) = (state / "homelab-k8s" / "runs").glob("*-up.jsonl")
            lines = [*_lines(first, recorded.read_text().splitlines(), nodes.stdout, again.stdout)]
            run("down", "--lab", "--yes")
        finally:
            run("lab", "stop")
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        RECORDING.write_text(text.replace(str(kubeconfig), "/home/me/.kube/config"), encoding="utf-8")


def _lines(first: subprocess.CompletedProcess[str], run: list[str], nodes: str, again: str) -> Iterator[Line]:
    shown = first.stderr.splitlines()
    plan = [line for line in shown if not line.startswith(("[", "reading "))]
    yield {"typed": " ".join(("homelab-k8s", *UP))}
    yield {"printed": "\n".join(plan)}
    yield from map(json.loads, run)
    yield {"printed": first.stdout.rstrip()}
    yield {"typed": "kubectl get nodes"}
    yield {"printed": nodes.rstrip()}
    yield {"typed": " ".join(("homelab-k8s", *UP))}
    yield {"printed": again.rstrip()}


def main() -> None:
    """Draw, and record first if that is asked for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--record", action="store_true", help="record a run in the lab first")
    options.add_argument("--guests", default="container", help="its guests; default: container")
    given = options.parse_args()
    if given.record:
        record(given.guests)
    PICTURE.write_text(svg(drawn(read())), encoding="utf-8")


if __name__ == "__main__":
    main()

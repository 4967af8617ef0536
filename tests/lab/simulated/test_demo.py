"""`demo` on simulated guests, by forks of the program."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bootstrap.cli.options import Guests
from bootstrap.cli.verbs.setup.demo import STAND_IN, Demo
from tests.e2e.homes import Home, Result, leftovers_of

RECORDING = Path(__file__).parents[3] / "docs" / "demo.jsonl"


def shape(text: str) -> str:
    """Text without what differs from run to run: numbers, and the columns that they take."""
    lines = [line for line in text.splitlines() if not line.startswith(("[", "reading ", "slowest:"))]
    return re.sub(r"\s+", " ", re.sub(r"[\d.]+", "0", "\n".join(lines))).strip()


def test_the_demo_shows_a_cluster_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done: dict[str, Result] = {}
    said: list[str] = []

    def run(*words: str, hidden: bool = False) -> int:
        command = " ".join(words)
        result = done[f"{command}, again" if command in done else command] = home.run(
            *words, expect=None, env={"HOMELAB_K3S_ARTIFACTS": ""}
        )
        said.append("hidden" if hidden else result.out)
        return result.code

    assert Demo(run, said.append, has_kubectl=True).play(Guests.SIMULATED, keep=False) == 0
    assert "hidden" not in said
    assert done["kubectl --lab -- get nodes -o wide"].out.count(" Ready ") == 4
    assert STAND_IN in said
    assert "nothing to do" in done["up --lab --workers 3, again"].out
    assert done["lab stop"].out == "the lab is stopped and removed\n"
    assert "Next, on your own Proxmox VE" in said[-1]
    assert leftovers_of(home) == []

    # The picture in the README is recorded: what it shows is still what is printed.
    recorded = RECORDING.read_text().splitlines()
    plan, closing, _, again = [line["printed"] for line in map(json.loads, recorded) if "printed" in line]
    up = done["up --lab --workers 3"]
    assert (shape(up.err), shape(up.out)) == (shape(plan), shape(closing)), "record it: .ci/demo_svg.py --record"
    assert done["up --lab --workers 3, again"].out.strip() == again

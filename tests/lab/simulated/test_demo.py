"""`demo` on simulated guests, by forks of the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.cli.options import Guests
from bootstrap.cli.verbs.setup.demo import STAND_IN, Demo
from tests.e2e.homes import Home, Result, leftovers_of


def test_the_demo_shows_a_cluster_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done: dict[str, Result] = {}
    said: list[str] = []

    def run(*words: str, hidden: bool = False) -> int:
        result = done[" ".join(words)] = home.run(*words, expect=None, env={"HOMELAB_K3S_ARTIFACTS": ""})
        said.append("hidden" if hidden else result.out)
        return result.code

    assert Demo(run, said.append, has_kubectl=True).play(Guests.SIMULATED, keep=False) == 0
    assert "hidden" not in said
    assert done["kubectl --lab -- get nodes -o wide"].out.count(" Ready ") == 4
    assert STAND_IN in said
    assert "nothing to do" in done["up --lab --workers 3"].out
    assert done["lab stop"].out == "the lab is stopped and removed\n"
    assert "Next, on your own Proxmox VE" in said[-1]
    assert leftovers_of(home) == []

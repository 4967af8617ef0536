"""`demo`: its commands, and that nothing of it stays. `tests/lab/simulated/test_demo.py` runs it on a lab."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bootstrap.cli.main import app
from bootstrap.cli.options import Guests
from bootstrap.cli.verbs.setup.demo import Demo, Program, kept
from bootstrap.cli.verbs.setup.lab import install_command

UP = "up --lab --workers 3"
CREATED = ["lab start --guests container", UP, "status --lab", "kubectl --lab -- get nodes -o wide", UP]
REMOVED = ["down --lab --yes", "lab stop"]
CLEANED = [f"({command})" for command in REMOVED]


@pytest.fixture
def lab(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An own place for a lab, and none in it."""
    monkeypatch.setenv("HOMELAB_K8S_LAB_DIR", str(tmp_path / "lab"))
    yield
    typed("lab", "stop", "--progress", "quiet")


def typed(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


class Commands:
    """Commands that do nothing, but for one of them."""

    def __init__(self, odd: str = "", do: Callable[[], int] = lambda: 0) -> None:
        self.odd, self.do = odd, do
        self.run_so_far: list[str] = []
        self.said: list[str] = []

    def run(self, *words: str, hidden: bool = False) -> int:
        command = " ".join(words)
        self.run_so_far.append(f"({command})" if hidden else command)
        return self.do() if command == self.odd and not hidden else 0

    def play(self, guests: Guests = Guests.CONTAINER, *, keep: bool = False, has_kubectl: bool = True) -> int:
        return Demo(self.run, self.said.append, has_kubectl=has_kubectl).play(guests, keep=keep)


def test_it_creates_shows_and_removes_a_cluster_and_says_what_comes_next(lab: None) -> None:
    commands = Commands()
    assert commands.play() == 0
    assert commands.run_so_far == [*CREATED, *REMOVED]
    (last,) = commands.said
    assert "Next, on your own Proxmox VE:\n  homelab-k8s init --pveum" in last


def test_it_stays_if_it_is_wanted(lab: None, tmp_path: Path) -> None:
    commands = Commands()
    assert commands.play(keep=True) == 0
    assert (commands.run_so_far, commands.said) == (CREATED, [])
    assert "export KUBECONFIG='/tmp/a b'" in kept(Path("/tmp/a b"))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("at", range(1, len(CREATED)))
def test_a_command_that_fails_ends_it_and_nothing_stays(lab: None, at: int, keep: bool) -> None:
    odd = CREATED[at]
    commands = Commands(odd, lambda: 4)
    assert commands.play(keep=keep) == 4
    assert commands.run_so_far == [*CREATED[: CREATED.index(odd) + 1], *CLEANED]
    assert commands.said[-1] == "removed"


def test_ctrl_c_between_two_commands_leaves_nothing(lab: None) -> None:
    def interrupt() -> int:
        raise KeyboardInterrupt

    commands = Commands("status --lab", interrupt)
    with pytest.raises(KeyboardInterrupt):
        commands.play()
    assert commands.run_so_far[-2:] == CLEANED


def test_without_kubectl_it_is_left_out_with_a_word(lab: None) -> None:
    commands = Commands()
    assert commands.play(has_kubectl=False) == 0
    assert commands.run_so_far == [*CREATED[:3], UP, *REMOVED]
    assert "kubectl is not installed" in commands.said[0]


def test_simulated_guests_are_fast_and_are_taken_where_containers_cannot_run(lab: None) -> None:
    commands = Commands()
    commands.play(Guests.SIMULATED)
    simulated = "lab start --guests simulated --time-scale 0.2"
    assert commands.run_so_far[0] == simulated
    auto = Commands()
    auto.play(Guests.AUTO)
    assert auto.run_so_far[0] in (CREATED[0], simulated)
    assert (auto.run_so_far[0] == simulated) == auto.said[0].startswith("The demo uses simulated guests")


def test_a_lab_that_the_user_has_started_is_left_alone(lab: None) -> None:
    pytest.importorskip("fakepve")
    assert typed("lab", "start", "--guests", "none").exit_code == 0
    result = typed("demo")
    assert result.exit_code == 1
    assert "a lab with none guests is already running" in result.stderr
    assert "`homelab-k8s lab stop`" in result.stderr
    assert typed("lab", "status").exit_code == 0


def test_without_guests_there_is_nothing_to_show(lab: None) -> None:
    assert typed("demo", "--guests", "none").exit_code == 2


def test_a_command_is_shown_and_runs_in_the_environment_that_is_given(
    lab: None, capfd: pytest.CaptureFixture[str]
) -> None:
    program = Program({**os.environ, "KUBECONFIG": "/nowhere"})
    assert program.run("lab", "status") == 1
    out = capfd.readouterr().out
    assert out.startswith("\n$ homelab-k8s lab status\nno lab is running; start one with")
    assert program.run("lab", "stop", hidden=True) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("prefix", "command"),
    [
        ("/home/me/.local/share/pipx/venvs/homelab-k8s", "pipx inject homelab-k8s 'homelab-k8s[lab]'"),
        ("/home/me/.local/share/uv/tools/homelab-k8s", "uv pip install --python /p/python 'homelab-k8s[lab]'"),
        ("/home/me/venv", "/p/python -m pip install 'homelab-k8s[lab]'"),
    ],
)
def test_the_extra_is_added_by_the_tool_that_installed_the_program(prefix: str, command: str) -> None:
    assert install_command(Path(prefix), "/p/python") == command


def test_without_the_extra_the_command_that_adds_it_is_said(lab: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    for words in (("demo",), ("lab", "start"), ("up", "--lab")):
        result = typed(*words)
        assert result.exit_code == 1
        assert "error: the lab is not installed\n  missing: asyncssh, of the extra `lab`" in result.stderr
        assert "homelab-k8s[lab]" in result.stderr

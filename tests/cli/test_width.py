"""Everything reads well on a terminal: no line runs over, no word is broken, what is to be pasted stays whole."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.cli.main import app
from bootstrap.cli.text.tables import render_table
from bootstrap.cli.text.wrapping import fitted, wrapped
from bootstrap.cli.views.failures import render_error
from bootstrap.errors import HomelabError
from bootstrap.model.ids import PveNodeName, Vmid
from tests.fakes.world import TEMPLATE, World, pve_node

COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COMMAND = re.compile(r"\s*(?:→ )?(?:`[^`]+`[^\s]*|(?:homelab-k8s|kubectl|pveum|qm) .*|\S+)")
"""What may run over: a command or a single word that stands alone on its line."""
DEMO = ("--cluster", "homelab")
UP = ("up", *DEMO, "--workers", "3", "--control-planes", "3")


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def reconfigure(self, *, errors: str) -> None:
        """As a text file has it."""


Typed = Callable[..., str]


@pytest.fixture
def typed(state: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Types a command line on a terminal of so many columns (0: into files); all that it prints."""

    def run(*args: str, width: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(width or 80))
        monkeypatch.setenv("TERM", "xterm")
        out = Terminal() if width else io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", out)
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        with pytest.raises(SystemExit):
            app(list(args), obj=world.ports, prog_name="homelab-k8s")
        return COLOURS.sub("", out.getvalue())

    return run


def too_long(text: str, width: int) -> list[str]:
    return [line for line in text.splitlines() if len(line) > width and not COMMAND.fullmatch(line)]


@pytest.fixture
def crowded(world: World) -> World:
    """Two Proxmox nodes with names as people give them."""
    first, second = PveNodeName("proxmox-cellar-01"), PveNodeName("proxmox-attic-02")
    world.pve_nodes[:] = [pve_node(first), pve_node(second)]
    world.templates[:] = [
        replace(TEMPLATE, pve_node=first),
        replace(TEMPLATE, pve_node=second, vmid=Vmid(9001)),
    ]
    return world


LOOKING = (
    ("status", *DEMO),
    ("status", *DEMO, "-o", "wide"),
    ("clusters",),
    ("doctor", *DEMO),
    ("backups", *DEMO),
    ("template", "list"),
    ("rebalance", *DEMO),
    (*UP, "--dry-run"),
    ("up", *DEMO, "--workers", "5", "--control-planes", "3", "--dry-run"),
    ("scale", "workers", "1", *DEMO, "--dry-run"),
    ("upgrade", *DEMO, "--to", "v1.34.1+k3s1", "--dry-run"),
    ("rebuild", *DEMO, "--dry-run"),
    ("down", *DEMO, "--dry-run"),
    ("down", *DEMO),
    ("restore", "no-such-snapshot-of-the-cluster-at-all", *DEMO),
    ("replace", "homelab-workers-17", *DEMO),
    ("explain", "workers"),
    ("explain", "k3s"),
    ("up", "--progress", "loud"),
    ("up", "--no-such-option-there-is-in-this-program-which-has-many-options", "something"),
)


def test_no_line_runs_over_and_no_word_is_broken(typed: Typed, crowded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")  # plain progress
    assert too_long(typed(*UP), 80) == []
    crowded.vms[max(crowded.vms)].running = False
    for args in LOOKING:
        whole = typed(*args, width=0)
        for width in (60, 80, 120):
            narrow = typed(*args, width=width)
            assert too_long(narrow, width) == [], args
            assert set(_words(narrow)) - set(_words(whole)) == set(), args


def _words(text: str) -> list[str]:
    """Each word; the name of the log is another one each time, and halves of fingerprints may stand alone."""
    return [word for word in text.split() if ".log" not in word and not word.startswith(("/", "AB:"))]


HELP = (
    *((verb, "--help") for verb in ("init", "up", "status", "doctor", "scale", "upgrade", "restore", "exec", "adopt")),
    ("--help",),
    ("lab", "start", "--help"),
    ("template", "build", "--help"),
    ("rotate", "token", "--help"),
    ("manifests", "apply", "--help"),
)


@pytest.mark.parametrize("args", HELP, ids=" ".join)
def test_help_fits(typed: Typed, args: tuple[str, ...]) -> None:
    text = typed(*args)
    assert too_long(text, 80) == []
    assert [line for line in text.splitlines() if re.search(r"\w-$", line)] == []


@pytest.mark.parametrize("args", [(), ("lab",), ("template",), ("rotate",)], ids=" ".join)
def test_the_help_that_stands_in_for_a_command_is_no_error(typed: Typed, args: tuple[str, ...]) -> None:
    text = typed(*args)
    assert text.startswith("Usage: homelab-k8s")
    assert "Error" not in text
    assert text.count("Usage:") == 1


def test_a_question_fits_and_names_each_machine(typed: Typed, crowded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    typed(*UP)
    monkeypatch.setattr("tests.cli.test_width.io.StringIO", _Answers)
    asked = typed("scale", "workers", "1", *DEMO, width=60)
    assert too_long(asked, 60) == []
    assert "This drains and removes 2 machines for good." in " ".join(asked.split())
    assert "homelab-workers-3" in asked


class _Answers(Terminal):
    """Somebody who says no."""

    def __init__(self) -> None:
        super().__init__("n\n")


def test_a_red_error_is_as_wide_as_a_plain_one() -> None:
    """What colours it takes no columns: neither of its own line nor of those it goes on in."""
    error = HomelabError("a brief that is long: " + "and on it goes " * 12)
    plain, red = (render_error(error, log=None, width=60, colour=colour) for colour in (False, True))
    assert COLOURS.sub("", red) == plain
    assert max(map(len, plain.splitlines())) <= 60


def test_a_fingerprint_goes_on_after_half_of_it() -> None:
    """Somebody compares it, byte by byte."""
    fingerprint = ":".join(["AB"] * 32)
    assert wrapped(f"it is {fingerprint}.", width=60, first="tls  ", rest="     ").split("\n") == [
        "tls  it is " + "AB:" * 16,
        "     " + ":".join(["AB"] * 16) + ".",
    ]
    assert wrapped(fingerprint, width=100) == fingerprint
    halves = [len(line) - len(line.lstrip()) for line in fitted(f"  {fingerprint}", 80).split("\n")]
    assert halves == [2, 2], "the halves stand below each other"


def test_the_log_s_path_is_short_where_it_would_run_over(monkeypatch: pytest.MonkeyPatch) -> None:
    home = "/home/somebody-with-a-long-name"
    monkeypatch.setenv("HOME", home)
    log = f"{home}/.local/state/homelab-k8s/logs/20261129-101233-template-build.log"
    last = {
        width: render_error(HomelabError("no"), log=log, width=width).split("\n", 1)[1] for width in (0, 80, 60, 200)
    }
    assert last[0] == last[200] == f"log: {log}"
    assert last[80] == "log: ~/.local/state/homelab-k8s/logs/20261129-101233-template-build.log"
    assert last[60] == "log:\n  ~/.local/state/homelab-k8s/logs/20261129-101233-template-build.log"


ROWS = (("homelab-workers-1", "running", "pve1", "it is what it is"), ("homelab-cp-1", "stopped", "pve2", "-"))
HEADINGS = ("MACHINE", "VM", "PVE NODE", "WHY")


def test_a_table_loses_columns_in_the_order_that_is_stated() -> None:
    def heads(width: int) -> list[str]:
        table = render_table(HEADINGS, ROWS, width=width, drop=("PVE NODE", "VM"))
        return table.splitlines()[0].split()

    assert heads(0) == heads(80) == ["MACHINE", "VM", "PVE", "NODE", "WHY"]
    assert heads(45) == ["MACHINE", "VM", "WHY"]
    assert heads(36) == ["MACHINE", "WHY"]


def test_a_last_column_goes_on_under_itself() -> None:
    long = ("pve1", "it has 12 GiB free of 64 GiB and the others have more")
    assert render_table(("PVE NODE", "WHY"), [long], width=40) == (
        "PVE NODE  WHY\npve1      it has 12 GiB free of 64 GiB\n          and the others have more"
    )


def test_rows_of_what_cannot_be_a_table_are_paragraphs() -> None:
    name = "a-cluster-with-a-name-as-long-as-names-may-be-in-this-world-1"
    table = render_table(("MACHINE", "VM", "ADDRESS"), [(name, "running", "192.0.2.1")], width=60, drop=("VM",))
    assert table == f"{name}\n  VM       running\n  ADDRESS  192.0.2.1"

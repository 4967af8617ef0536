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
    ("upgrade", *DEMO, "--k3s-version", "v1.34.1+k3s1", "--dry-run"),
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
    """Each word; the name of the log is another one each time."""
    return [word for word in text.split() if ".log" not in word and not word.startswith("/")]


HELP = (
    *((verb, "--help") for verb in ("init", "up", "status", "doctor", "scale", "upgrade", "restore", "exec", "adopt")),
    ("--help",),
    ("lab", "start", "--help"),
    ("template", "build", "--help"),
    ("rotate", "token", "--help"),
)


@pytest.mark.parametrize("args", HELP, ids=" ".join)
def test_help_fits(typed: Typed, args: tuple[str, ...]) -> None:
    text = typed(*args)
    assert too_long(text, 80) == []
    assert [line for line in text.splitlines() if re.search(r"\w-$", line)] == []


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

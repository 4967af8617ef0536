"""Eighty columns: no line runs over the terminal's edge, and none is broken inside a word."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.cli.text.tables import render_table
from bootstrap.cli.text.wrapping import COMMANDS, columns_of, fitted
from tests.cli.test_process import on_a_terminal

WORDS = st.lists(st.text(alphabet="abcdefghij-/", min_size=1, max_size=19), min_size=1, max_size=60)
HEADINGS = ("MACHINE", "ROLE", "VMID", "ACTION")
ROW = ("a-cluster-of-mine-workers-10", "control-plane", "100000001", "start (it is powered off, and its labels differ)")


@given(words=WORDS, start=st.sampled_from(["", "  - ", "→ ", "[  1.3s] ", "datastore    ", "   3. "]))
def test_a_line_that_is_too_long_goes_on_below_its_own_text(words: list[str], start: str) -> None:
    lines = fitted(start + " ".join(words), 40).split("\n")
    assert all(len(line) <= 40 for line in lines)
    assert " ".join(lines).split() == (start + " ".join(words)).split()


@pytest.mark.parametrize(
    "line",
    [
        "pveum role modify homelab-k8s -privs VM.Clone,VM.Config.Disk,VM.Config.CPU,VM.Allocate,VM.Audit",
        "→ kubectl drain demo-workers-1 --ignore-daemonsets --delete-emptydir-data --timeout=300s",
    ],
)
def test_a_line_to_be_copied_is_left_whole(line: str) -> None:
    assert fitted(line, 40) == line


def test_a_command_that_does_not_fit_behind_its_label_has_a_line_of_its_own() -> None:
    command = "kubectl --kubeconfig /home/somebody/kubeconfig --context demo get nodes"
    assert fitted(f"next: {command}", 40) == f"next:\n  {command}"
    assert fitted(f"next: {command}", 200) == f"next: {command}"


def test_prose_hangs_and_a_comment_stays_one() -> None:
    assert fitted("demo: nothing can be removed right now", 30) == "demo: nothing can be removed\n  right now"
    assert fitted("# as root on a Proxmox node, please, all", 30) == "# as root on a Proxmox node,\n# please, all"


def test_a_command_at_the_end_of_a_sentence_stays_whole() -> None:
    text = "→ does it get an address? On pve1: qm agent 7004 network-get-interfaces; then `homelab-k8s up` again"
    assert "  qm agent 7004 network-get-interfaces; then" in fitted(text, 60).split("\n")


def test_a_number_keeps_its_unit() -> None:
    told = fitted("phases: " + ", ".join(f"phase{n} 0.{n} s" for n in range(9)), 32).split("\n")
    assert len(told) > 3
    assert not [line for line in told if re.match(r" *s\b", line) or re.search(r"\.\d$", line)]


def test_what_stands_in_backticks_is_on_one_line() -> None:
    command = "`homelab-k8s up -i lab.yaml --cluster demo`"
    text = f"  - demo-workers-1 (vmid 7003 on pve1) is powered off: {command}"
    assert fitted(text, 60).split("\n")[1] == f"    {command}"


def test_what_is_no_terminal_gets_whole_lines_and_all_columns() -> None:
    assert fitted("a " * 200, 0) == "a " * 200
    with Path(os.devnull).open() as stream:
        assert columns_of(stream) == 0
    assert render_table(HEADINGS, [ROW]).split("\n")[1] == "  ".join(ROW)


def test_a_terminal_that_tells_no_size_has_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        assert columns_of(stream) == 80
        monkeypatch.setenv("COLUMNS", "132")
        assert columns_of(stream) == 132
    os.close(ours)


def test_a_table_leaves_out_what_matters_least_and_goes_on_below_in_its_last_column() -> None:
    text = render_table(HEADINGS, [ROW, ROW], width=79, drop=("ROLE", "VMID"))
    lines = text.split("\n")
    assert lines[0].split() == ["MACHINE", "VMID", "ACTION"]
    assert max(map(len, lines)) <= 79
    assert " ".join(line[41:].strip() for line in lines[1:3]) == ROW[3]
    assert render_table(HEADINGS, [ROW], width=200, drop=("ROLE",)) == render_table(HEADINGS, [ROW])


DRAWN = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")
LONG = "a-cluster-with-a-long-name"


@pytest.mark.parametrize(
    "args",
    [
        ["empty", "up", "--cluster", LONG, "--workers", "3", "--dry-run", "--progress", "plain"],
        ["empty", "up", "--cluster", LONG, "--workers", "3", "--progress", "plain"],
        ["empty", "status", "--cluster", LONG],
        ["empty", "doctor", "--cluster", LONG],
        ["built", "status", "--cluster", "demo", "--workers", "4"],
        ["built", "clusters"],
        ["built", "template", "list"],
        ["built", "backups", "--cluster", "demo"],
        ["built", "scale", "workers", "7000", "--cluster", "demo"],
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_nothing_runs_over_80_columns(state: Path, args: list[str]) -> None:
    told, code = on_a_terminal(args)
    lines = [DRAWN.sub("", line).rstrip("\r").rpartition("\r")[2] for line in told.split("\n")]
    assert code in (0, 1, 2, 4), told
    assert [
        line for line in lines if len(line) > 80 and " " in line.strip() and not line.strip(" →").startswith(COMMANDS)
    ] == []

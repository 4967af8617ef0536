"""A build of the template says what it does, also while its tool is silent."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bootstrap.lab.template import contain
from bootstrap.lab.template.root import Phases


def test_each_phase_is_said_and_a_long_one_again_and_again() -> None:
    said: list[str] = []
    clock = iter([0.0, 0.1, 0.2, 2.0, 5.0, 6.0, 9.6, 10.0])
    phases = Phases(said.append, lambda: next(clock))
    for line in (
        "I: finding correct signed-by value...",
        "I: running apt-get update...",
        "done",
        "",
        "",
        "",
        "I: extracting archives...",
    ):
        phases(line)
    assert said == [
        "template: running apt-get update",
        "template: running apt-get update (5 s so far)",
        "template: running apt-get update (10 s so far)",
        "template: extracting archives",
    ]


def test_a_tool_gets_its_input_and_silence_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contain, "TICK_S", 0.05)
    code = "import sys, time; print(sys.stdin.read()); sys.stdout.flush(); time.sleep(0.3); print('no end', end='')"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        heard = list(contain.output_lines(process, "one\ntwo"))
    assert [line for line in heard if line] == ["one", "two", "no end"]
    assert heard.count("") >= 2

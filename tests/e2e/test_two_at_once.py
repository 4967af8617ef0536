"""Two who build one cluster at once, as two processes: one works, the other says who does. No root is needed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.lab.guests.choose import why_not
from tests.e2e.api import Api
from tests.e2e.homes import STAND_IN, Home

UP = ("up", "--lab", "--workers", "2", "--progress", "plain")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    reason = why_not("simulated")
    if reason is not None:
        pytest.skip(reason)
    home = Home(tmp_path_factory.mktemp("two"))
    subprocess.run([sys.executable, str(STAND_IN), str(home.directory / "k3s")], check=True, capture_output=True)
    home.run("lab", "start", "--guests", "simulated", "--time-scale", "0.2")
    try:
        yield home
    finally:
        home.run("lab", "stop", timeout_s=120)


def start(home: Home) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).parent / "homelab-k8s"), *UP]
    return subprocess.Popen(
        command, env=home.environ, cwd=home.directory, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def read_to(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    assert any(words in line for line in process.stderr), f"it ended without {words!r}"


def test_the_second_up_names_the_first_and_touches_nothing(home: Home) -> None:
    with start(home) as first:
        read_to(first, "up starts")
        second = home.run(*UP, expect=1)
        _, told = first.communicate(timeout=120)
    assert first.returncode == 0, told
    assert "another run is in progress on lab; nothing was changed" in second.err
    assert f"(process {first.pid}), running `up` since " in second.err
    assert Api(home).vms() == {7000: "lab-cp-1", 7001: "lab-workers-1", 7002: "lab-workers-2"}


def test_up_that_was_killed_is_known_to_be_dead_at_once_and_continued(home: Home) -> None:
    home.run("down", "--lab", "--yes")
    with start(home) as first:
        read_to(first, "lab-workers-1  clone")
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=30)
    assert Api(home).vms()[7999] == "lab-lock"
    again = home.run(*UP)
    assert f"(process {first.pid}), running `up` since " in again.err
    assert "its lock was taken over" in again.err
    assert "checking whether it is alive" not in again.err
    assert Api(home).vms() == {7000: "lab-cp-1", 7001: "lab-workers-1", 7002: "lab-workers-2"}
    status = json.loads(home.run("status", "--lab", "-o", "json").out)
    assert status["problems"] == []


def test_ctrl_c_gives_the_lock_back(home: Home) -> None:
    home.run("down", "--lab", "--yes")
    with start(home) as first:
        read_to(first, "lab-workers-1  clone")
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)
    assert first.returncode == 130
    assert 7999 not in Api(home).vms()
    home.run("down", "--lab", "--yes")
    assert Api(home).vms() == {}

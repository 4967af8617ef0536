"""One server and two workers on container guests climb one minor version: cut off, continued, again, and joined."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.k3s.artifacts import make_artifacts
from tests.e2e.homes import Home, Result, lab_home

pytestmark = pytest.mark.container

OLD, NEW = "v1.33.3+k3s1", "v1.34.1+k3s1"
PROGRAM = Path(__file__).with_name("upgrading.py")


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with lab_home("container") as home:
        shutil.rmtree(home.directory / "k3s")
        for version in (OLD, NEW):
            make_artifacts(home.directory / "k3s" / version, version=version)
        home.run("up", "--lab", "--workers", "2", "--k3s-version", OLD)
        yield home


def start(home: Home, version: str) -> subprocess.Popen[str]:
    environ = {**home.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), version],
        env=environ,
        cwd=home.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def upgrade(home: Home, version: str) -> Result:
    with start(home, version) as process:
        out, err = process.communicate(timeout=300)
    return Result(code=process.returncode, out=out, err=err)


def versions(home: Home) -> dict[str, str]:
    status = home.run("status", "--lab", "-o", "json", expect=None)  # 1 where a machine is not Ready
    assert status.out, status.err
    return {machine["name"]: machine["k3s_version"] for machine in status.json["machines"]}


def test_what_joins_first_is_what_was_asked_for(home: Home) -> None:
    assert versions(home) == dict.fromkeys(("lab-cp-1", "lab-workers-1", "lab-workers-2"), OLD)


def test_an_upgrade_killed_in_the_middle_has_taken_the_servers_first(home: Home) -> None:
    with start(home, NEW) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.search(r"lab-workers-1.*upgrade to k3s", line):
                process.send_signal(signal.SIGKILL)
                break
        process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL
    there = versions(home)
    assert there["lab-cp-1"] == NEW
    assert there["lab-workers-2"] == OLD


def test_it_is_continued_and_leaves_nothing_cordoned(home: Home) -> None:
    result = upgrade(home, NEW)
    print(result.err)
    assert result.code == 0, result.err
    done = result.json
    assert done["actions"]["lab-cp-1"] == "keep"
    assert done["actions"]["lab-workers-2"] == f"upgrade {OLD} -> {NEW}"
    assert done["versions"] == dict.fromkeys(("lab-cp-1", "lab-workers-1", "lab-workers-2"), NEW)
    assert done["problems"] == []
    kubectl = str(Path(sys.executable).parent / "kubectl")
    command = [kubectl, "--kubeconfig", str(home.kubeconfig), "get", "nodes", "-o", "json"]
    nodes = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)["items"]
    assert not [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")]


def test_again_there_is_nothing_to_do(home: Home) -> None:
    result = upgrade(home, NEW)
    assert (result.code, result.json["empty"]) == (0, True), result.err


def test_the_way_down_is_refused(home: Home) -> None:
    result = upgrade(home, OLD)
    assert result.code == 4
    assert "never downgraded" in result.err


def test_a_machine_that_joins_gets_the_servers_version(home: Home) -> None:
    shutil.rmtree(home.directory / "k3s" / OLD)
    make_artifacts(home.directory / "k3s" / "v1.35.0+k3s1", version="v1.35.0+k3s1")
    home.run("up", "--lab", "--workers", "3")
    assert versions(home)["lab-workers-3"] == NEW

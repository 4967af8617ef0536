"""The whole by commands, on simulated guests: no root, and a matter of seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.homes import Home


def test_up_builds_a_cluster_that_kubectl_sees_ready(home: Home) -> None:
    home.run("up", "--lab", "--workers", "3")
    command = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(home.kubeconfig), "get", "nodes"]
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True, timeout=60)
    nodes = {
        node["metadata"]["name"]: next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
        for node in json.loads(done.stdout)["items"]
    }
    assert nodes == {name: "True" for name in ("lab-cp-1", "lab-workers-1", "lab-workers-2", "lab-workers-3")}
    assert home.run("status", "--lab", "-o", "json").json["problems"] == []


def test_a_second_up_has_nothing_to_do(home: Home) -> None:
    result = home.run("up", "--lab", "--workers", "3")
    assert "nothing to do" in result.out + result.err


def test_down_removes_it_all(home: Home) -> None:
    home.run("down", "--lab", "--yes")
    left = home.run("status", "--lab", "-o", "json", expect=None).json["machines"]
    assert [machine["pve_node"] for machine in left] == [None] * len(left)

"""A cluster of VMs and containers, by commands, on simulated guests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.homes import STAND_IN, Home

INVENTORY = """cluster: demo
workers: {count: 1}
pools:
  light: {count: 1, machine: lxc, memory: 512MiB, disk: 8GiB}
"""
THERE = ("--lab", "-i", "demo.yaml")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """With a lab that needs no bridge, so that it may run beside others."""
    made = Home(tmp_path)
    subprocess.run([sys.executable, str(STAND_IN), str(tmp_path / "k3s")], check=True, capture_output=True)
    made.run("lab", "start", "--guests", "simulated", "--time-scale", "0.05")
    (tmp_path / "demo.yaml").write_text(INVENTORY, encoding="utf-8")
    yield made
    made.run("lab", "stop")


def test_a_cluster_with_a_container_lives_and_leaves(home: Home) -> None:
    told = home.run("up", *THERE, "--yes")
    assert "demo: 3 machines, all Ready" in told.out
    assert "trusted on first use" not in told.err  # Proxmox VE told the host key when it made the container
    assert "nothing to do" in home.run("up", *THERE, "--yes").out
    status = home.run("status", *THERE, "-o", "json").json
    assert {machine["name"]: machine["ready"] for machine in status["machines"]} == {
        "demo-cp-1": True, "demo-workers-1": True, "demo-light-1": True
    }  # fmt: skip
    assert "demo: 2 machines (1 removed)" in home.run("scale", "light", "0", *THERE, "--yes").out
    assert "2 machines removed" in home.run("down", *THERE, "--yes").out

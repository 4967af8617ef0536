"""A Proxmox node goes off and comes back, by commands, on simulated guests: nothing is doubled, nothing forgotten."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import Api
from tests.e2e.homes import STAND_IN, Home

INVENTORY = """cluster: demo
workers: {count: 2, nodes: [pve2]}
control_plane: {nodes: [pve1]}
"""
THERE = ("--lab", "-i", "demo.yaml")
WORKERS = ("demo-workers-1", "demo-workers-2")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """With a cluster whose workers are on the second of three Proxmox nodes; no bridge, so that it may run anywhere."""
    made = Home(tmp_path)
    subprocess.run([sys.executable, str(STAND_IN), str(tmp_path / "k3s")], check=True, capture_output=True)
    made.run("lab", "start", "--guests", "simulated", "--time-scale", "0.05", "--pve-nodes", "3")
    (tmp_path / "demo.yaml").write_text(INVENTORY, encoding="utf-8")
    made.run("up", *THERE, "--yes")
    yield made
    made.run("lab", "stop")


def vms(home: Home) -> list[str]:
    """Names of the machines' VMs on all Proxmox nodes, as far as they are told."""
    listed = Api(home).call("GET", "/cluster/resources?type=vm")
    assert isinstance(listed, list)
    return sorted(vm.get("name", "?") for vm in listed if 7000 <= vm["vmid"] < 7999)


def rows(home: Home, code: int = 1) -> dict[str, Any]:
    told = home.run("status", *THERE, "-o", "json", expect=code).json
    return {"problems": told["problems"]} | {machine["name"]: machine["vm"] for machine in told["machines"]}


def state(home: Home) -> list[str]:
    return sorted(path.name for path in (home.directory / "state/homelab-k8s/clusters/demo").glob("*"))


@pytest.mark.parametrize("names_for_s", ["300", "0"])
def test_a_proxmox_node_that_was_off_comes_back(home: Home, names_for_s: str) -> None:
    before = vms(home)
    api = Api(home)
    api.fault("pve-node-offline", pve_node="pve2", names_for_s=names_for_s)
    said = home.run("up", *THERE, expect=1)
    assert "unreachable (vmid" in said.err
    assert "on pve2, which is offline" in said.err
    assert "--replace-unreachable" in said.err
    assert "all Ready" not in said.out
    assert len(vms(home)) == len(before)
    told = rows(home)
    assert [told[name] for name in WORKERS] == ["out of sight"] * 2
    assert not [problem for problem in told["problems"] if "delete node" in problem]
    home.run("scale", "workers", "1", *THERE, "--yes", expect=4)
    kept = state(home)
    assert "token" in kept
    said = home.run("down", *THERE, "--yes", expect=1)
    assert "1 machine removed" in said.out
    assert "2 machines and the state are left" in said.out
    assert "run `homelab-k8s down` again once pve2 is back" in said.err
    assert state(home) == [*kept, "unfinished"]  # `status` says what continues
    home.run("down", *THERE, "--yes", expect=1)
    api.mend()
    assert vms(home) == list(WORKERS)
    said = home.run("down", *THERE, "--yes")
    assert "2 machines removed" in said.out
    assert vms(home) == []
    assert state(home) == []


def test_one_declared_lost_gets_a_successor_and_is_removed_when_it_is_back(home: Home) -> None:
    api = Api(home)
    (home.directory / "demo.yaml").write_text(INVENTORY.replace("[pve2]", "[pve2, pve3]"), encoding="utf-8")
    api.fault("pve-node-offline", pve_node="pve2")
    lost = [argument for name in WORKERS for argument in ("--replace-unreachable", name)]
    said = home.run("up", *THERE, "--yes", *lost)
    assert "demo: 3 machines, all Ready" in said.out
    assert vms(home) == ["demo-cp-1", *WORKERS, "demo-workers-3", "demo-workers-4"]
    assert rows(home, code=0)["problems"] == []
    api.mend()
    until = time.monotonic() + 120
    while len(rows(home)["problems"]) < 2 and time.monotonic() < until:
        time.sleep(0.5)
    assert all("was replaced, and its Proxmox node is back" in problem for problem in rows(home)["problems"][:2])
    home.run("up", *THERE, "--yes")
    assert vms(home) == ["demo-cp-1", "demo-workers-3", "demo-workers-4"]
    home.run("status", *THERE)

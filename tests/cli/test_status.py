"""What `status` prints, once and while it watches."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Snapshot
from tests.cli.conftest import Run
from tests.cli.test_process import PROGRAM, started
from tests.fakes.world import World

UP = ("up", "--cluster", "demo", "--workers", "2")
STATUS = ("status", "--cluster", "demo", "--workers", "2")


def test_status_is_0_when_all_is_well_and_1_when_not(run: Run, world: World) -> None:
    run(*UP)
    result = run(*STATUS)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "demo: 3 machines, all Ready"
    world.vms[min(world.vms)].running = False
    result = run(*STATUS)
    assert result.exit_code == 1
    assert "  - demo-cp-1: powered off: `homelab-k8s up --cluster demo --workers 2`" in result.stdout.splitlines()
    assert result.stderr == "reading https://192.0.2.1:8006 …\n"


def test_a_worker_that_claims_the_server_s_address_is_a_problem(run: Run, world: World) -> None:
    """By its guest agent, which says what anyone who is root there likes."""
    run(*UP)
    server, worker = world.vm_named("demo-cp-1"), world.vm_named("demo-workers-1")
    assert server is not None
    assert worker is not None
    worker.moved = int(server.address) - int(worker.address)
    result = run(*STATUS)
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    assert (
        f"demo-cp-1 (vmid {server.vmid} on {server.pve_node}, by its guest agent) and demo-workers-1 (vmid "
        f"{worker.vmid} on {worker.pve_node}, by its guest agent) claim the address {server.address}"
    ) in said
    assert (
        "`homelab-k8s replace --cluster demo demo-cp-1` or `homelab-k8s replace --cluster demo demo-workers-1`" in said
    )


def test_status_tells_what_the_cluster_runs_on(run: Run, world: World) -> None:
    run("up", "--cluster", "demo", "--workers", "0", "--control-planes", "3")
    made = datetime.fromtimestamp(world.ports.processes.unix_s() - 7200, UTC)
    world.snapshots = (
        Snapshot(name="old", machine=MachineName("demo-cp-1"), location="file:///old", made=made.replace(year=2020)),
        Snapshot(name="new", machine=MachineName("demo-cp-2"), location="file:///new", made=made),
        Snapshot(name="bad", machine=MachineName("demo-cp-3"), location="file:///bad", problem="no space left"),
    )
    lines = run("status", "--cluster", "demo").stdout.splitlines()
    assert "datastore     etcd: 3 members, 3 Ready, quorum 2" in lines
    assert "certificate   valid for 364 days (demo-cp-1)" in lines
    assert "snapshots     3, the newest new, 2 h old" in lines


def test_status_of_a_small_cluster_says_sqlite_and_no_more(run: Run) -> None:
    run(*UP)
    lines = run(*STATUS).stdout.splitlines()
    assert "datastore     sqlite on one server" in lines
    assert not [line for line in lines if line.startswith(("snapshots", "API address", "in use by"))]


def test_wide_has_sizes_beside_those_wanted(run: Run, world: World) -> None:
    run(*UP)
    world.vms[max(world.vms)].settings["cores"] = 4
    result = run(*STATUS, "--workers", "2", "-o", "wide")
    wanted = json.loads(run(*STATUS, "-o", "json").stdout)["machines"][2]["wanted"]
    assert wanted["cores"] == 2
    row = next(line for line in result.stdout.splitlines() if line.startswith("demo-workers-2"))
    assert "4 (2 wanted)" in row
    assert "2 GiB" in row
    assert "CPU TYPE" in result.stdout


def test_status_as_json_keeps_its_form(run: Run) -> None:
    run(*UP)
    status = json.loads(run(*STATUS, "-o", "json").stdout)
    assert list(status) == [
        *("format", "cluster", "machines", "problems"),
        *("notices", "datastore", "vip", "certificate", "snapshots", "worker_token", "at_work", "maintenance"),
    ]
    assert (status["format"], status["cluster"], status["problems"]) == (1, "demo", [])
    assert status["datastore"] == {"kind": "sqlite", "members": 1, "ready": 1, "quorum": 1}
    assert status["certificate"] == {"machine": "demo-cp-1", "days_left": 364.0}
    assert (status["vip"], status["snapshots"], status["at_work"]) == (None, None, None)
    assert status["machines"][0] == {
        "name": "demo-cp-1",
        "role": "control-plane",
        "pool": "control-plane",
        "machine": "vm",
        "pve_node": "pve1",
        "vmid": 7000,
        "address": "192.0.2.10",
        "vm": "running",
        "ready": True,
        "stale": False,
        "k3s_version": "v1.33.3+k3s1",
        "cores": 2,
        "memory_mib": 2048,
        "disk_gib": 20,
        "wanted": {"cores": 2, "memory_mib": 2048, "disk_gib": 20, "cpu_type": None},
        "differs": [],
        "cordoned": False,
        "leaving": False,
        "holds_vip": False,
        "os_image": None,
    }
    assert yaml.safe_load(run(*STATUS, "-o", "yaml").stdout) == status


def test_a_cordoned_machine_is_told_with_the_way_back(run: Run, world: World) -> None:
    run(*UP)
    name = MachineName("demo-workers-1")
    world.kube_nodes[name] = replace(world.kube_nodes[name], unschedulable=True)
    result = run(*STATUS)
    assert result.exit_code == 1
    assert "yes, cordoned" in result.stdout
    assert "`kubectl uncordon demo-workers-1`" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_without_a_terminal_appends_what_changed_and_ends_with_0(state: Path, number: signal.Signals) -> None:
    with started("built", *STATUS[:-2], "--watch", "-o", "json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert [machine["name"] for machine in first["machines"]] == ["demo-cp-1", "demo-workers-1"]
        process.send_signal(number)
        out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in told
    assert "error" not in told


def test_watching_on_a_terminal_redraws_in_place(state: Path) -> None:
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "24"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, str(PROGRAM), "built", *STATUS[:-2], "--watch"], environ)
    told = b""
    typed = False
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            break
        told += part
        if told.count(b"Ctrl-C ends;") >= 2 and told.endswith(b"\x1b[J\r\n") and not typed:
            os.write(terminal, b"\x03")
            typed = True
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    screens = told.decode().split("\x1b[H")[1:]
    assert len(screens) >= 2
    assert all("demo: 2 machines, all Ready" in screen for screen in screens)
    assert told.count(b"\x1b[2J") == 1, "cleared once; afterwards drawn over"


def test_clusters_lists_them_as_text_and_as_data(run: Run, world: World) -> None:
    assert run("clusters").stdout == "no cluster found; create one with `homelab-k8s up`\n"
    run(*UP)
    result = run("clusters")
    assert (result.exit_code, [line.split() for line in result.stdout.splitlines()[1:]]) == (
        0,
        [["demo", "1", "2", "3", "of", "3", "7000-7002", "pve1", "here"]],
    )
    assert json.loads(run("clusters", "-o", "json").stdout) == {
        "format": 1,
        "clusters": [
            {
                "name": "demo",
                "control_plane": 1,
                "workers": 2,
                "running": 3,
                "out_of_sight": 0,
                "foreign": 0,
                "vmids": [7000, 7002],
                "pve_nodes": ["pve1"],
                "at_work": False,
                "known_here": True,
                "kubeconfig": True,
            }
        ],
    }

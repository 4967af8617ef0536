"""A cluster's life on container guests: grown, shrunk, made highly available, rolled, upgraded, restored, rebuilt.

Each command is killed once in the middle and run again. The tests follow each other, as the years of a cluster do.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator

import pytest

from bootstrap.lab.standin_release import make_artifacts
from tests.e2e.api import Api
from tests.e2e.homes import Home, Result, lab_home
from tests.e2e.test_vip import VIP, Probe, probing, until
from tests.e2e.workload import DEPLOYMENT, REPLICAS, apply, available, budget, kubectl

pytestmark = pytest.mark.container

OLD, NEW = "v1.33.7+k3s3", "v1.34.1+k3s1"
INVENTORY = f"""
cluster: lab
control_plane: {{cores: 1, memory: 1GiB, disk: 8GiB, vip: {VIP}}}
workers: {{cores: 1, memory: 1GiB, disk: 8GiB}}
"""
AT_HAND = ("--lab", "-i", "lab.yaml")


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with lab_home("container") as home:
        shutil.rmtree(home.directory / "k3s")
        for version in (OLD, NEW):
            make_artifacts(home.directory / "k3s" / version, version=version)
        (home.directory / "lab.yaml").write_text(INVENTORY)
        yield home


def act(home: Home, *command: str, killed_at: str = "", expect: int = 0) -> Result:
    """Run a command that acts; first kill it with SIGKILL as soon as it tells of what `killed_at` matches."""
    line = [*command, *AT_HAND, *([] if command[0] == "up" else ["--yes"])]
    if killed_at:
        home.kill(*line, at=killed_at)
    began = time.monotonic()
    result = home.run(*line, expect=expect)
    print(f"\n{' '.join(command)}: {time.monotonic() - began:.1f} s")
    return result


def machines(home: Home) -> dict[str, str]:
    """All machines and their k3s version, with nothing wrong among them."""
    status = home.run("status", *AT_HAND, "-o", "json").json
    assert status["problems"] == []
    assert all(machine["ready"] for machine in status["machines"])
    return {machine["name"]: machine["k3s_version"] for machine in status["machines"]}


def nothing_left_over(home: Home) -> None:
    """Proxmox VE and Kubernetes have the machines that `status` tells of, and no others."""
    there = set(machines(home))
    assert set(Api(home).vms().values()) == there
    nodes = json.loads(kubectl(home, "get", "nodes", "-o", "json"))["items"]
    assert {node["metadata"]["name"] for node in nodes} == there
    assert not [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")]


def test_two_workers_become_four(home: Home) -> None:
    act(home, "up", "--workers", "2", "--k3s-version", OLD)
    act(home, "scale", "workers", "4", killed_at=r"workers-3 +join as agent")
    nothing_left_over(home)
    assert len(machines(home)) == 5
    assert "nothing to do" in act(home, "scale", "workers", "4").out


def test_a_budget_that_blocks_is_named_and_nothing_is_lost(home: Home) -> None:
    apply(home, DEPLOYMENT)
    until(lambda: available(home) == REPLICAS, "the workload")
    apply(home, budget(REPLICAS))
    refused = act(home, "scale", "workers", "1", "--drain-timeout", "4", expect=1)
    assert "PodDisruptionBudget default/web" in refused.err
    assert "default/web-" in refused.err
    assert len(Api(home).vms()) == 5
    assert available(home) == REPLICAS
    nodes = json.loads(kubectl(home, "get", "nodes", "-o", "json"))["items"]
    assert not [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")]


def test_once_the_budget_is_lifted_one_worker_stays(home: Home) -> None:
    apply(home, budget(REPLICAS - 1))
    act(home, "scale", "workers", "1", killed_at=r"leave Kubernetes")
    nothing_left_over(home)
    assert len(machines(home)) == 2
    until(lambda: available(home) == REPLICAS, "the workload on what is left")


def test_one_server_with_sqlite_becomes_three_with_etcd(home: Home) -> None:
    act(home, "scale", "control-plane", "3", killed_at=r"cp-2 +join as server")
    nothing_left_over(home)
    status = home.run("status", *AT_HAND, "-o", "json").json
    assert status["datastore"]["kind"] == "etcd", status["datastore"]
    assert available(home) == REPLICAS


def test_a_server_that_stops_is_not_missed(home: Home) -> None:
    api = Api(home)
    vmid = next(vmid for vmid, name in api.vms().items() if name == "lab-cp-1")
    with probing() as probe:
        api.call("POST", f"/nodes/pve1/qemu/{vmid}/status/stop")
        time.sleep(6)
    print(f"\nserver 1 off: no answer for {probe.longest_s():.2f} s")
    assert probe.longest_s() < 5.0


def test_it_is_replaced_by_another(home: Home) -> None:
    act(home, "replace", "lab-cp-1", killed_at=r"cp-4 +join as server")
    nothing_left_over(home)
    assert {"lab-cp-2", "lab-cp-3", "lab-cp-4"} < set(machines(home))


def test_an_upgrade_is_hardly_noticed(home: Home) -> None:
    with probing() as probe:
        act(home, "upgrade", "--to", NEW, killed_at=r"cp-3 +upgrade to k3s")
    print(f"\nupgrade: no answer for {probe.longest_s():.2f} s at the most")
    assert probe.longest_s() < 5.0
    assert set(machines(home).values()) == {NEW}
    nothing_left_over(home)
    until(lambda: available(home) == REPLICAS, "the workload")


def test_there_is_no_way_back_and_whoever_joins_gets_what_the_servers_run(home: Home) -> None:
    assert "nothing to do" in act(home, "upgrade", "--to", NEW).out
    assert "never downgraded" in act(home, "upgrade", "--to", OLD, expect=4).err
    shutil.rmtree(home.directory / "k3s" / OLD)
    make_artifacts(home.directory / "k3s" / "v1.35.0+k3s1", version="v1.35.0+k3s1")
    act(home, "scale", "workers", "2")
    assert machines(home)["lab-workers-2"] == NEW


def test_what_was_deleted_comes_back_from_a_snapshot(home: Home) -> None:
    act(home, "backup", "--name", "before", "--to", str(home.directory / "saved"), killed_at=r"take the snapshot")
    kubectl(home, "delete", "deployment", "web", "--wait=false")
    act(home, "restore", "latest", killed_at=r"restore before")
    assert kubectl(home, "get", "deployment", "web", "-o", "name").strip() == "deployment.apps/web"
    nothing_left_over(home)


def test_a_rebuilt_cluster_is_reached_as_before(home: Home) -> None:
    old = home.directory / "old-kubeconfig"
    shutil.copy(home.kubeconfig, old)
    names = set(machines(home))
    act(home, "rebuild", "--keep-identity", "--restore", "latest", killed_at=r"destroy the VM")
    assert set(machines(home)) == names
    assert kubectl(home, "get", "deployment", "web", "-o", "name", kubeconfig=old).strip() == "deployment.apps/web"
    nothing_left_over(home)


def test_the_end(home: Home) -> None:
    act(home, "down", killed_at=r"destroy the VM")
    assert Api(home).vms() == {}
    assert not Probe().ask()

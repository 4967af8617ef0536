"""One server and three workers on container guests: up, up again, broken and fixed, strangers, down."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.api import Api
from tests.e2e.homes import Home, lab_home
from tests.e2e.workload import kubectl

pytestmark = pytest.mark.container


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with lab_home("container") as home:
        yield home


def test_a_dry_run_touches_nothing(home: Home) -> None:
    plan = home.run("up", "--lab", "--workers", "3", "--dry-run", "-o", "json").json
    assert [machine["action"] for machine in plan["machines"]] == ["create"] * 4
    assert Api(home).vms() == {}
    assert not home.kubeconfig.exists()


def test_up_builds_four_ready_machines(home: Home) -> None:
    began = time.monotonic()
    result = home.run("up", "--lab", "--workers", "3")
    print(f"\n1+3 up took {time.monotonic() - began:.1f} s")
    assert "Traceback" not in result.err
    nodes = json.loads(kubectl(home, "get", "nodes", "-o", "json"))["items"]
    ready = {
        node["metadata"]["name"]: next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
        for node in nodes
    }
    assert ready == {name: "True" for name in ("lab-cp-1", "lab-workers-1", "lab-workers-2", "lab-workers-3")}


def test_secrets_are_encrypted_from_the_first_start(home: Home) -> None:
    asked = ("--machine", "lab-cp-1", "--lab", "--", "sudo", "k3s", "secrets-encrypt", "status")
    assert "Encryption Status: Enabled" in home.run("exec", *asked).out


def test_kubectl_shows_the_stand_in_for_what_it_is(home: Home) -> None:
    assert "stand-in" in kubectl(home, "get", "nodes", "-o", "wide")


def test_status_shows_both_sides(home: Home) -> None:
    status = home.run("status", "--lab", "-o", "json").json
    assert status["problems"] == []
    assert status["cluster"] == "lab"
    for machine in status["machines"]:
        assert machine["vm"] == "running"
        assert machine["ready"] is True
        assert machine["address"].startswith("198.18.")
    vmids = {machine["vmid"] for machine in status["machines"]}
    assert vmids == set(Api(home).vms())


def test_a_second_up_has_nothing_to_do(home: Home) -> None:
    before = home.kubeconfig.read_bytes()
    result = home.run("up", "--lab", "--workers", "3")
    assert "nothing to do" in result.out + result.err
    assert home.kubeconfig.read_bytes() == before


def test_kubeconfig_is_printed_and_private(home: Home) -> None:
    assert home.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert "https://198.18." in home.run("kubeconfig", "--lab").out


def test_no_secret_is_in_the_logs(home: Home) -> None:
    info = json.loads((home.directory / "state/homelab-k8s/lab/lab.json").read_text())
    token = (home.directory / "state/homelab-k8s/clusters/lab/token").read_text()
    logs = list((home.directory / "state/homelab-k8s/logs").iterdir())
    assert logs
    for log in logs:
        text = log.read_text()
        assert info["token_secret"] not in text
        assert token.rpartition(":")[2].strip() not in text
        assert "BEGIN OPENSSH PRIVATE KEY" not in text
        assert log.stat().st_mode & 0o777 == 0o600


def test_a_machine_that_was_powered_off_is_mended(home: Home) -> None:
    api = Api(home)
    vmid = next(vmid for vmid, name in api.vms().items() if name == "lab-workers-2")
    api.call("POST", f"/nodes/pve1/qemu/{vmid}/status/stop")
    deadline = time.monotonic() + 60
    while home.run("status", "--lab", "-o", "json", expect=None).json["problems"] == []:
        assert time.monotonic() < deadline
    result = home.run("up", "--lab", "--workers", "3")
    assert "lab-workers-2" in result.err
    assert home.run("status", "--lab", "-o", "json").json["problems"] == []


def test_up_killed_in_the_middle_is_continued(home: Home) -> None:
    command = [str(Path(sys.executable).parent / "homelab-k8s"), "up", "--lab", "--workers", "4", "--progress", "plain"]
    with subprocess.Popen(
        command, env=home.environ, cwd=home.directory, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.search(r"lab-workers-4.*power on", line):
                process.send_signal(signal.SIGKILL)
                break
        process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL
    home.run("up", "--lab", "--workers", "4")
    status = home.run("status", "--lab", "-o", "json").json
    assert status["problems"] == []
    assert len(status["machines"]) == 5
    assert len(Api(home).vms()) == 5


def test_strangers_survive_down(home: Home) -> None:
    api = Api(home)
    ours = {name: vmid for vmid, name in api.vms().items()}
    taken_over = ours["lab-workers-1"]
    api.call("POST", f"/nodes/pve1/qemu/{taken_over}/status/stop")
    deadline = time.monotonic() + 60
    while True:  # the stop task, then the delete
        try:
            api.call("DELETE", f"/nodes/pve1/qemu/{taken_over}")
            break
        except urllib.error.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    while taken_over in api.vms():
        time.sleep(0.2)
        assert time.monotonic() < deadline
    # One took over a vmid of ours, the other has our name; neither has our record.
    api.call("POST", "/nodes/pve1/qemu", vmid=taken_over, name="precious", memory=512)
    api.call("POST", "/nodes/pve1/qemu", vmid=7500, name="lab-workers-1", memory=512)
    result = home.run("down", "--lab", "--yes")
    assert "lab-workers-1 (vmid 7500" in result.err
    assert api.vms() == {taken_over: "precious", 7500: "lab-workers-1"}
    assert "lab" not in kubectl(home, "config", "get-contexts", "-o", "name").split()
    assert not (home.directory / "state/homelab-k8s/clusters/lab").exists()


def test_a_second_down_has_nothing_to_do(home: Home) -> None:
    result = home.run("down", "--lab", "--yes")
    assert "nothing" in (result.out + result.err).lower()

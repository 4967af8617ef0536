"""A lab with simulated guests as a process: its info, and its leftovers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import requests

from bootstrap.lab import control
from bootstrap.lab.options import LabInfo, LabOptions
from bootstrap.lab.processes import is_running
from tests.lab.simulated.running import eventually

OPTIONS = LabOptions(guests="simulated", pve_nodes=5, port=0, time_scale=0.01, seed=3)


@pytest.fixture
def lab_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HOMELAB_K8S_LAB_DIR", str(tmp_path / "lab"))
    yield tmp_path / "lab"
    control.stop()


def api(info: LabInfo, lab_dir: Path, method: str, path: str, **values: object) -> object:
    reply = requests.request(
        method,
        f"{info.endpoint}/api2/json{path}",
        data=values or None,
        headers={"Authorization": f"PVEAPIToken={info.token_id}={info.token_secret}"},
        verify=str(lab_dir / "lab.crt"),
        timeout=30,
    )
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def quiet(_line: str) -> None:
    """Hear of no progress."""


def test_its_info_has_the_guests_network(lab_dir: Path) -> None:
    info = control.start(OPTIONS, progress=quiet)
    assert (info.kind, info.ssh_port, info.bridge) == ("simulated", 2222, "")
    network = IPv4Network(info.network)
    assert network.subnet_of(IPv4Network("127.64.0.0/10"))
    assert info.pve_nodes == ("pve1", "pve2", "pve3", "pve4", "pve5")
    status = api(info, lab_dir, "GET", "/nodes/pve5/status")
    assert isinstance(status, dict)
    assert (status["cpuinfo"]["cpus"], status["memory"]["total"]) == (128, 512 * 1024**3)

    upid = api(info, lab_dir, "POST", "/nodes/pve5/qemu/9004/clone", newid=201, name="a")
    eventually("cloned", lambda: ended(info, lab_dir, str(upid)))
    api(info, lab_dir, "POST", "/nodes/pve5/qemu/201/status/start")
    address = eventually("an address", lambda: address_of(info, lab_dir))
    assert address in map(str, network)
    assert (lab_dir / "simulated" / "201").is_dir()


def ended(info: LabInfo, lab_dir: Path, upid: str) -> bool:
    task = api(info, lab_dir, "GET", f"/nodes/pve5/tasks/{upid}/status")
    assert isinstance(task, dict)
    return task.get("exitstatus") == "OK"


def address_of(info: LabInfo, lab_dir: Path) -> str:
    reply = requests.get(
        f"{info.endpoint}/api2/json/nodes/pve5/qemu/201/agent/network-get-interfaces",
        headers={"Authorization": f"PVEAPIToken={info.token_id}={info.token_secret}"},
        verify=str(lab_dir / "lab.crt"),
        timeout=30,
    )
    if reply.status_code != 200:
        return ""
    found = [one.get("ip-addresses") for one in reply.json()["data"]["result"] if one["name"] == "eth0"]
    return str(found[0][0]["ip-address"]) if found and found[0] else ""


def test_a_killed_one_leaves_files_that_the_next_start_removes(lab_dir: Path) -> None:
    first = control.start(OPTIONS, progress=quiet)
    (lab_dir / "simulated" / "201").mkdir(parents=True)
    os.kill(first.pid, signal.SIGKILL)
    while is_running(first.pid, first.pid_start):
        time.sleep(0.01)
    control.start(OPTIONS, progress=quiet)
    assert not (lab_dir / "simulated" / "201").exists()
    assert control.stop()
    assert not lab_dir.exists()


def test_two_labs_have_ranges_of_their_own(lab_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = control.start(OPTIONS, progress=quiet)
    monkeypatch.setenv("HOMELAB_K8S_LAB_DIR", str(tmp_path / "other"))
    try:
        other = control.start(OPTIONS, progress=quiet)
        assert not IPv4Network(one.network).overlaps(IPv4Network(other.network))
    finally:
        control.stop()
        monkeypatch.setenv("HOMELAB_K8S_LAB_DIR", str(lab_dir))

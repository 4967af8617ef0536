"""By commands, on simulated guests: VMs that move between plan and act, Proxmox HA, Proxmox nodes in maintenance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bootstrap.lab import control
from tests.e2e.homes import Home

MOVES = {"fault": "vm-moved", "method": "POST", "times": 1}
"""Planning posts nothing: so the VM moves between the look before the act and the act."""


class Lab:
    """A home with a lab of two Proxmox nodes, and the lab's own switches."""

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", home.environ["XDG_STATE_HOME"])
        info = control.status()
        assert info is not None
        self.home, self._info = home, info
        self._certificate = str(next(home.directory.rglob("lab.crt")))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(
            method,
            f"{self._info.endpoint}{path}",
            json=body,
            headers={"Authorization": f"PVEAPIToken={self._info.root_token}"},
            verify=self._certificate,
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def cause(self, *faults: dict[str, object]) -> None:
        self.ask("POST", "/lab/faults", list(faults))

    def machines(self) -> dict[str, tuple[str, str]]:
        """Each VM but templates: its Proxmox node and its `hastate`, empty for one that is not managed."""
        rows = self.ask("GET", "/api2/json/cluster/resources?type=vm")["data"]
        return {row["name"]: (row["node"], row.get("hastate", "")) for row in rows if not row.get("template")}

    def give_disk(self, machine: str) -> str:
        """Make a volume as Proxmox CSI does, and attach it; returns its name."""
        rows = self.ask("GET", "/api2/json/cluster/resources?type=vm")["data"]
        row = next(row for row in rows if row["name"] == machine)
        volume = {"filename": "vm-9999-pvc-1f2e.raw", "vmid": 9999, "size": "1G", "format": "raw"}
        made = self.ask("POST", f"/api2/json/nodes/{row['node']}/storage/local/content", volume)["data"]
        name = str(made).removeprefix("local:")
        config = f"/api2/json/nodes/{row['node']}/qemu/{row['vmid']}/config"
        self.ask("PUT", config, {"scsi1": f"local:{name},size=1G,wwn=0x5056432d49443031"})
        assert self.ask("GET", f"{config}?current=1")["data"]["scsi1"].startswith(f"local:{name}")
        return name

    def up(self, workers: int = 2) -> None:
        self.home.run("up", "--lab", "--workers", str(workers))


@pytest.fixture
def lab(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    lab = Lab(home, monkeypatch)
    yield lab
    lab.ask("DELETE", "/lab/faults")
    home.run("down", "--lab", "--yes")
    assert lab.machines() == {}


def known(home: Home) -> list[Path]:
    """What the state directory holds of the cluster."""
    return [path for path in (home.directory / "state").rglob("clusters/lab/*") if path.is_file()]


def test_down_removes_machines_that_proxmox_ha_manages_and_says_so(lab: Lab) -> None:
    lab.up()
    lab.cause({"fault": "ha-managed", "machine": "lab-*"})
    assert set(lab.machines()) == {"lab-cp-1", "lab-workers-1", "lab-workers-2"}
    plan = lab.home.run("down", "--lab", "--dry-run").out
    assert plan.count("managed by Proxmox HA; removed from HA") == 3
    done = lab.home.run("down", "--lab", "--yes")
    assert lab.machines() == {}
    assert known(lab.home) == []
    assert "3 machines removed" in done.out


def test_down_removes_a_machine_that_moved_since_the_plan(lab: Lab) -> None:
    lab.up()
    before = lab.machines()
    lab.cause({**MOVES, "machine": "lab-workers-1"})
    lab.home.run("down", "--lab", "--yes")
    assert before["lab-workers-1"]
    assert lab.machines() == {}
    assert known(lab.home) == []


def test_down_keeps_the_state_while_a_machine_may_be_on_a_node_that_is_off(lab: Lab) -> None:
    """It moves to a Proxmox node that dies with it: its absence cannot be proved."""
    lab.up()
    there = lab.machines()["lab-workers-1"][0]
    other = "pve2" if there == "pve1" else "pve1"
    lab.cause({**MOVES, "machine": "lab-workers-1", "to": other})
    lab.cause({"fault": "api-595", "path": "/qemu", "pve_node": other})
    failed = lab.home.run("down", "--lab", "--yes", expect=None)
    assert failed.code == 1, failed.err
    assert known(lab.home) != []
    assert "lab-workers-1" in lab.machines()


def test_up_goes_on_with_a_machine_that_moved_since_the_plan(lab: Lab) -> None:
    lab.cause({**MOVES, "method": "PUT", "machine": "lab-workers-1"})
    lab.up()
    assert sorted(lab.machines()) == ["lab-cp-1", "lab-workers-1", "lab-workers-2"]
    lab.up()  # its labels name the Proxmox node it is on: they were written for the other one
    assert lab.home.run("status", "--lab", "-o", "json").json["problems"] == []


def test_scale_removes_a_machine_that_moved_since_the_plan(lab: Lab) -> None:
    lab.up()
    either = "lab-workers-*"  # the younger one goes, and which that is is a matter of seconds
    lab.cause({**MOVES, "machine": either}, {"fault": "ha-managed", "machine": either})
    shown = lab.home.run("scale", "workers", "1", "--lab", "--dry-run").out
    assert "managed by Proxmox HA; removed from HA" in shown
    lab.home.run("scale", "workers", "1", "--lab", "--yes")
    left = sorted(lab.machines())
    assert len(left) == 2
    assert left[0] == "lab-cp-1"


def test_replace_says_what_it_takes_out_of_proxmox_ha(lab: Lab) -> None:
    lab.up(workers=1)
    lab.cause({"fault": "ha-managed", "machine": "lab-workers-1"})
    shown = lab.home.run("replace", "lab-workers-1", "--lab", "--dry-run").out
    assert "managed by Proxmox HA; removed from HA" in shown
    lab.home.run("replace", "lab-workers-1", "--lab", "--yes")
    assert sorted(lab.machines()) == ["lab-cp-1", "lab-workers-2"]


def test_machines_go_past_a_node_in_maintenance_and_that_is_said(lab: Lab) -> None:
    lab.cause({"fault": "pve-node-maintenance", "pve_node": "pve2"})
    plan = lab.home.run("up", "--lab", "--workers", "3", "--dry-run").out
    assert "pve2 is in maintenance (Proxmox HA): no new machine is placed there" in plan
    lab.up(workers=3)
    assert {pve_node for pve_node, _ in lab.machines().values()} == {"pve1"}
    assert "pve2 (Proxmox HA)" in lab.home.run("status", "--lab").out
    assert "pve2: in maintenance, according to Proxmox HA" in lab.home.run("doctor", "--lab", expect=None).out


def test_a_disk_of_kubernetes_stays_whatever_is_removed(lab: Lab) -> None:
    """Proxmox CSI has attached it: no drift; and only the user can say that its VM goes all the same."""
    lab.up()
    node, _ = lab.machines()["lab-workers-1"]
    volume = f"local:{lab.give_disk('lab-workers-1')}"
    assert lab.home.run("status", "--lab", "-o", "json").json["problems"] == []
    assert "nothing to do" in lab.home.run("up", "--lab", "--workers", "2").out
    refused = lab.home.run("down", "--lab", "--yes", expect=4)
    assert f"scsi1: {volume}" in refused.err
    waited = lab.home.run("replace", "lab-workers-1", "--lab", "--yes", "--drain-timeout", "1", expect=1)
    assert f"scsi1: {volume}" in " ".join(waited.err.split())
    assert "lab-workers-1" in lab.machines()
    done = lab.home.run("down", "--lab", "--yes", "--detach-disks")
    assert f"scsi1: {volume}" in done.err
    assert lab.machines() == {}
    assert volume in [row["volid"] for row in lab.ask("GET", f"/api2/json/nodes/{node}/storage/local/content")["data"]]

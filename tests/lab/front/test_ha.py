"""Proxmox HA in the lab: it acts late, refuses what Proxmox VE refuses, and moves VMs. Also VMs that others move."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.front.running import Lab
from tests.lab.front.test_faults import cause, end_all, until

ONE = "/nodes/pve1/qemu/201"
ELSEWHERE = "/nodes/pve2/qemu/201"


def as_root(lab: Lab, method: str, path: str, **values: Any) -> Any:
    reply = lab.send(method, f"/api2/json{path}", values or None, token=lab.info.root_token)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def shown(lab: Lab, path: str = ONE) -> dict[str, Any]:
    return lab.api("GET", f"{path}/status/current")  # type: ignore[no-any-return]


def refusal(lab: Lab, method: str, path: str, **values: Any) -> tuple[int, str, Any]:
    reply = lab.send(method, f"/api2/json{path}", values or None)
    return reply.status_code, reply.json()["message"].strip(), reply.json().get("errors")


@pytest.fixture
def managed(lab: Lab) -> Lab:
    """VM 201 runs, and is Proxmox HA's."""
    lab.clone(201, start=True)
    as_root(lab, "POST", "/cluster/ha/resources", sid="vm:201", state="started")
    return lab


def test_a_vm_is_managed_once_root_says_so(managed: Lab) -> None:
    assert shown(managed)["ha"] == {"managed": 1, "state": "started"}
    rows = managed.api("GET", "/cluster/resources", {"type": "vm"})
    assert {row["vmid"]: row.get("hastate") for row in rows} == {201: "started", 9000: None, 9001: None}
    assert as_root(managed, "GET", "/cluster/ha/resources") == [{"sid": "vm:201", "type": "vm", "state": "started"}]
    as_root(managed, "DELETE", "/cluster/ha/resources/vm:201")
    assert shown(managed)["ha"] == {"managed": 0}
    assert as_root(managed, "GET", "/cluster/ha/resources") == []


def test_a_stop_is_a_request_and_the_vm_runs_on_for_a_while(managed: Lab) -> None:
    upid = managed.api("POST", f"{ONE}/status/shutdown", {"timeout": 20, "forceStop": 1})
    assert upid.split(":")[5] == "hastop"
    assert (shown(managed)["status"], shown(managed)["ha"]) == ("running", {"managed": 1, "state": "request_stop"})
    until(lambda: shown(managed)["status"] == "stopped")
    upid = managed.api("POST", f"{ONE}/status/start")
    assert upid.split(":")[5] == "hastart"
    assert shown(managed)["status"] == "stopped"
    until(lambda: shown(managed)["status"] == "running")


def test_it_refuses_what_proxmox_refuses(managed: Lab) -> None:
    assert refusal(managed, "POST", f"{ONE}/status/stop", **{"overrule-shutdown": 1}) == (
        400,
        "Parameter verification failed.",
        {"overrule-shutdown": "Not applicable for HA resources."},
    )
    unmanaged = "unable to remove VM 201 - used in HA resources and purge parameter not set."
    assert refusal(managed, "DELETE", ONE)[:2] == (500, unmanaged)
    running = "VM 201 is running - destroy failed"
    assert refusal(managed, "DELETE", ONE, purge=1, **{"destroy-unreferenced-disks": 0})[:2] == (500, running)


def test_the_printed_role_may_not_ask_ha(managed: Lab) -> None:
    managed.server.pve.acl[managed.info.token_id] = [("/vms", {"VM.Audit"})]
    lacks = (403, "Permission check failed (/, Sys.Audit)", None)
    assert refusal(managed, "GET", "/cluster/ha/resources") == lacks
    assert refusal(managed, "GET", "/cluster/ha/status/current") == lacks
    assert refusal(managed, "DELETE", "/cluster/ha/resources/vm:201")[:2] == (
        403,
        "Permission check failed (/, Sys.Console)",
    )


def test_a_vm_that_powers_itself_off_is_started_again(managed: Lab) -> None:
    managed.guests.guests[201].on = False
    until(lambda: shown(managed)["status"] == "stopped")
    until(lambda: shown(managed)["status"] == "running")


def test_a_fault_manages_what_runs_until_it_is_gone(lab: Lab) -> None:
    lab.clone(201, start=True)
    lab.clone(202)
    cause(lab, "ha-managed")
    assert shown(lab)["ha"]["managed"] == 1
    assert shown(lab, "/nodes/pve1/qemu/202")["ha"]["managed"] == 0
    end_all(lab)
    assert shown(lab)["ha"]["managed"] == 0


def test_a_node_in_maintenance_says_so_in_the_resources(lab: Lab) -> None:
    def states() -> dict[str, Any]:
        rows = lab.api("GET", "/cluster/resources", {"type": "node"})
        return {row["node"]: row.get("hastate") for row in rows}

    assert states() == {"pve1": None, "pve2": None}
    cause(lab, "pve-node-maintenance", pve_node="pve2")
    assert states() == {"pve1": "online", "pve2": "maintenance"}
    assert {row["status"] for row in lab.api("GET", "/nodes")} == {"online"}
    end_all(lab)
    assert states() == {"pve1": None, "pve2": None}


def test_a_vm_moved_by_another_client_keeps_running(lab: Lab) -> None:
    lab.clone(201, start=True)
    cause(lab, "vm-moved", path="/config", times=1)
    gone = "Configuration file 'nodes/pve1/qemu-server/201.conf' does not exist"
    assert refusal(lab, "GET", f"{ONE}/config")[:2] == (500, gone)
    assert shown(lab, ELSEWHERE)["status"] == "running"
    assert lab.guests.guests[201].on
    assert {vm["vmid"] for vm in lab.api("GET", "/nodes/pve2/qemu")} == {201, 9001}
    assert refusal(lab, "GET", "/cluster/nextid?vmid=201")[0] == 400


def test_ha_moves_what_was_on_a_dead_node_and_starts_it(managed: Lab) -> None:
    managed.server.pve.storages["local"]["shared"] = 1
    cause(managed, "pve-node-offline", pve_node="pve1")
    managed.send("GET", "/api2/json/version")
    until(lambda: managed.server.pve.vm(201).node == "pve2")
    until(lambda: shown(managed, ELSEWHERE)["status"] == "running")
    end_all(managed)
    assert managed.send("GET", f"/api2/json{ONE}/config").status_code == 500


def test_what_has_its_disk_on_the_dead_node_is_moved_in_vain(managed: Lab) -> None:
    cause(managed, "pve-node-offline", pve_node="pve1")
    managed.send("GET", "/api2/json/version")
    until(lambda: managed.server.pve.vm(201).node == "pve2")
    assert shown(managed, ELSEWHERE)["ha"] == {"managed": 1, "state": "error"}

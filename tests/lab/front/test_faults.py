"""Every fault of Proxmox's, as a client meets it; asked for by name, over the lab's own endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import requests

from bootstrap.lab.faults.active import FaultError, Faults
from bootstrap.lab.faults.kinds import KINDS
from tests.lab.front.running import Lab

ONE = "/nodes/pve1/qemu/201"


def faults(lab: Lab, method: str = "GET", body: Any = None, path: str = "") -> requests.Response:
    return requests.request(
        method,
        f"{lab.info.endpoint}/lab/faults{path}",
        json=body,
        headers={"Authorization": f"PVEAPIToken={lab.info.root_token}"},
        verify=lab.cert,
        timeout=10,
    )


def cause(lab: Lab, word: str, **values: object) -> int:
    reply = faults(lab, "POST", {"fault": word, **values})
    assert reply.status_code == 200, reply.text
    return int(reply.json()["faults"][0]["id"])


def end_all(lab: Lab) -> None:
    assert faults(lab, "DELETE").status_code == 200


def said(lab: Lab, method: str, path: str, values: Mapping[str, Any] | None = None) -> tuple[int, str]:
    reply = lab.send(method, f"/api2/json{path}", values)
    return reply.status_code, reply.reason


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that within 60 s"
        time.sleep(0.02)


def refused(lab: Lab) -> bool:
    try:
        lab.api("GET", "/version")
    except requests.ConnectionError as error:
        return "refused" in str(error)
    return False


def test_the_endpoint_lists_the_known_faults(lab: Lab) -> None:
    listed = faults(lab).json()
    assert listed["known"].keys() == KINDS.keys()
    assert listed["known"]["api-slow"]["values"] == {"method": "", "path": "", "seconds": 5.0}
    assert {"machine", "vmid", "pve_node", "times", "after", "for_s"} == listed["selectors"].keys()
    assert listed["faults"] == []


def test_faults_are_put_in_force_counted_and_ended(lab: Lab) -> None:
    one = cause(lab, "api-595", path="/version", times=2)
    assert faults(lab).json()["faults"][0] | {"id": one, "left": 2, "hits": 0} == faults(lab).json()["faults"][0]
    assert [said(lab, "GET", "/version")[0] for _ in range(3)] == [595, 595, 200]
    assert faults(lab).json()["faults"] == []
    two = cause(lab, "api-595", after=1)
    assert [said(lab, "GET", "/version")[0] for _ in range(2)] == [200, 595]
    assert faults(lab, "DELETE", path=f"/{two}").json()["faults"][0]["hits"] == 1
    assert said(lab, "GET", "/version")[0] == 200
    cause(lab, "api-595", for_s=1.0)
    assert said(lab, "GET", "/version")[0] == 595
    until(lambda: said(lab, "GET", "/version")[0] == 200)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"fault": "nope"}, "unknown fault 'nope'"),
        ({"fault": "api-slow", "nope": 1}, "api-slow has no parameter nope; it takes method, path, seconds, machine"),
        ({"fault": "api-slow", "seconds": "soon"}, "api-slow: could not convert"),
        ({}, "a fault is"),
        (["x"], "a fault is"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_the_reason(lab: Lab, body: Any, words: str) -> None:
    reply = faults(lab, "POST", body)
    assert reply.status_code == 400
    assert words in reply.json()["error"]


@pytest.mark.parametrize("guests", ["container", "qemu"])
def test_faults_of_simulated_guests_are_refused_where_guests_are_real(guests: str) -> None:
    """They were accepted without effect, so a test of them would have passed."""
    for word, kind in KINDS.items():
        if kind.where == "proxmox":
            Faults(guests).add(word)
        else:
            with pytest.raises(
                FaultError, match=f"{word} works with simulated guests only; this lab has {guests} guests"
            ):
                Faults(guests).add(word)


def test_only_root_may_ask_for_faults(lab: Lab) -> None:
    assert lab.send("GET", "/lab/faults").status_code == 403
    assert lab.send("GET", "/lab/faults", token="").status_code == 401


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("api-595", (595, "Connection refused")),
        ("api-596", (596, "Broken pipe")),
        ("api-500", (500, "got timeout")),
        ("token-revoked", (401, "Authentication failed!")),
    ],
)
def test_answers_that_are_errors(lab: Lab, fault: str, answer: tuple[int, str]) -> None:
    cause(lab, fault, method="GET")
    assert said(lab, "GET", "/nodes") == answer
    assert said(lab, "POST", "/nodes/pve1/qemu/9000/clone", {"newid": 201})[0] == 200


def test_a_connection_that_is_reset(lab: Lab) -> None:
    cause(lab, "api-reset", path="/clone", times=1)
    with pytest.raises(requests.ConnectionError):
        lab.clone(201)
    assert lab.server.pve.vm(201) is None
    lab.clone(201)


def test_an_answer_that_is_lost_after_the_work_was_done(lab: Lab) -> None:
    cause(lab, "answer-lost", path="/clone", times=1)
    with pytest.raises(requests.ConnectionError):
        lab.clone(201)
    assert lab.server.pve.vm(201) is not None


def test_half_an_answer(lab: Lab) -> None:
    cause(lab, "answer-cut", path="/nodes", times=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        lab.api("GET", "/nodes")
    lab.api("GET", "/nodes")


def test_slow_answers(lab: Lab) -> None:
    cause(lab, "api-slow", seconds=0.3)
    began = time.monotonic()
    lab.api("GET", "/version")
    assert time.monotonic() - began > 0.3


def test_a_port_where_nothing_listens_for_a_while(lab: Lab) -> None:
    cause(lab, "api-refused", for_s=1.0)
    until(lambda: refused(lab))
    until(lambda: not refused(lab))


def test_one_privilege_that_is_missing(lab: Lab) -> None:
    one = cause(lab, "forbidden", privilege="VM.Clone")
    status, reason = said(lab, "POST", "/nodes/pve1/qemu/9000/clone", {"newid": 201})
    assert (status, reason) == (403, "Permission check failed (/vms/9000, VM.Clone)")
    faults(lab, "DELETE", path=f"/{one}")
    lab.clone(201)


def test_a_lost_quorum(lab: Lab) -> None:
    lab.clone(201)
    cause(lab, "no-quorum")
    assert said(lab, "POST", f"{ONE}/status/start") == (500, "cluster not ready - no quorum?")
    assert said(lab, "GET", f"{ONE}/config")[0] == 200
    end_all(lab)
    lab.api("POST", f"{ONE}/status/start")


def test_a_pve_node_that_is_off(lab: Lab) -> None:
    cause(lab, "pve-node-offline", pve_node="pve2")
    assert said(lab, "GET", "/nodes/pve2/qemu") == (595, "No route to host")
    assert {node["node"]: node["status"] for node in lab.api("GET", "/nodes")} == {"pve1": "online", "pve2": "offline"}
    lab.clone(201)
    end_all(lab)
    lab.api("GET", "/nodes/pve2/qemu")


def test_guests_of_a_pve_node_that_is_off(lab: Lab) -> None:
    """As a real Proxmox VE 9.2 shows them: status unknown, tags kept, the name forgotten after a while."""
    config = {"name": "mine", "tags": "a;b", "onboot": 1}
    lab.server.pve.add_vm(301, "mine", node="pve2", status="running", config=config)
    lab.server.pve.add_vm(302, "manual", node="pve2", status="running", config={"name": "manual"})
    lab.server.pve.add_ct(303, "ct", node="pve2", status="running", config={"tags": "c", "onboot": 1})
    cause(lab, "pve-node-offline", pve_node="pve2", names_for_s=0.5)
    assert listed(lab, 301) == {
        "id": "qemu/301", "type": "qemu", "node": "pve2", "vmid": 301, "status": "unknown", "tags": "a;b",
        "name": "mine", "template": 0,
    }  # fmt: skip
    assert lab.server.pve.vm(301).status == "stopped"
    time.sleep(0.6)
    assert listed(lab, 301) == {
        "id": "qemu/301", "type": "qemu", "node": "pve2", "vmid": 301, "status": "unknown", "tags": "a;b"
    }  # fmt: skip
    assert (listed(lab, 303)["tags"], listed(lab, 303)["status"]) == ("c", "unknown")
    end_all(lab)
    assert (listed(lab, 301)["name"], listed(lab, 301)["status"]) == ("mine", "running")
    assert listed(lab, 302)["status"] == "stopped"
    assert listed(lab, 303)["status"] == "running"


def listed(lab: Lab, vmid: int) -> dict[str, Any]:
    (row,) = [row for row in lab.api("GET", "/cluster/resources") if row.get("vmid") == vmid]
    return dict(row)


def test_a_pve_node_that_counts_as_online_and_does_not_answer(lab: Lab) -> None:
    cause(lab, "pve-node-unreachable", pve_node="pve2")
    assert said(lab, "GET", "/nodes/pve2/qemu") == (595, "No route to host")
    assert {node["status"] for node in lab.api("GET", "/nodes")} == {"online"}
    assert said(lab, "GET", "/nodes/pve1/qemu")[0] == 200


def clone_ends(lab: Lab, vmid: int = 201) -> str:
    reply = lab.send("POST", "/api2/json/nodes/pve1/qemu/9000/clone", {"newid": vmid, "name": f"n{vmid}"})
    if reply.status_code != 200:
        return str(reply.reason)
    return str(lab.ended(reply.json()["data"])["exitstatus"])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("storage-full", "clone failed: "),
        ("storage-inactive", "clone failed: storage 'local' is not online"),
        ("storage-lock-held", "can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout"),
        ("clone-fails", "clone failed: I/O error"),
        ("vmid-taken", "unable to create VM 201: config file already exists"),
        ("orphan-volume", "clone failed: disk image '/var/lib/vz/images/201/vm-201-cloudinit.qcow2' already exists"),
        ("template-gone", "does not exist"),
    ],
)
def test_clones_that_fail_and_leave_nothing_of_theirs(lab: Lab, fault: str, words: str) -> None:
    once = fault in ("vmid-taken", "template-gone", "orphan-volume")
    cause(lab, fault, times=1) if once else cause(lab, fault)
    assert words in clone_ends(lab)
    left = lab.server.pve.vm(201)
    assert left is None or left.name == "somebody-elses-201"
    end_all(lab)
    assert clone_ends(lab, 202) == "OK"


def test_a_clone_whose_worker_was_killed_leaves_a_locked_vm(lab: Lab) -> None:
    cause(lab, "clone-dies", times=1)
    assert clone_ends(lab) == "unexpected status"
    assert lab.api("GET", f"{ONE}/config")["lock"] == "clone"


def test_a_vm_that_a_backup_has_locked(lab: Lab) -> None:
    cause(lab, "backup-lock", times=1)
    lab.clone(201)
    time.sleep(0.05)
    assert said(lab, "PUT", f"{ONE}/config", {"cores": 2}) == (500, "VM is locked (backup)")
    until(lambda: said(lab, "PUT", f"{ONE}/config", {"cores": 2})[0] == 200)  # a minute, 1.2 s here


def test_tasks_that_warn(lab: Lab) -> None:
    cause(lab, "task-warnings")
    reply = lab.send("POST", "/api2/json/nodes/pve1/qemu/9000/clone", {"newid": 201})
    upid = reply.json()["data"]
    assert lab.ended(upid)["exitstatus"] == "WARNINGS: 1"
    log = lab.api("GET", f"/nodes/pve1/tasks/{upid}/log")
    assert [line["t"] for line in log][-2:] == [
        "WARN: injected by a fault of the lab", "TASK WARNINGS: 1"
    ]  # fmt: skip
    upid = lab.send("POST", f"/api2/json{ONE}/status/start").json()["data"]
    assert lab.ended(upid)["exitstatus"] == "WARNINGS: 1"
    assert lab.guests.running(201)
    row = next(row for row in lab.api("GET", "/nodes/pve1/tasks") if row["upid"] == upid)
    assert row["status"] == "WARNINGS: 1"


def test_tasks_that_fail(lab: Lab) -> None:
    lab.clone(201)
    cause(lab, "task-fails", type="qmstart", text="start failed: exit code 1", times=1)
    upid = lab.send("POST", f"/api2/json{ONE}/status/start").json()["data"]
    assert lab.ended(upid)["exitstatus"] == "start failed: exit code 1"
    assert not lab.guests.running(201)
    lab.api("POST", f"{ONE}/status/start")


def test_a_start_that_fails_though_the_vm_runs(lab: Lab) -> None:
    lab.clone(201)
    cause(lab, "start-fails-running", times=1)
    upid = lab.send("POST", f"/api2/json{ONE}/status/start").json()["data"]
    assert lab.ended(upid)["exitstatus"] == "start failed: got timeout"
    assert lab.api("GET", f"{ONE}/status/current")["status"] == "running"


def test_a_config_changed_by_another_client(lab: Lab) -> None:
    lab.clone(201)
    digest = lab.api("GET", f"{ONE}/config")["digest"]
    cause(lab, "config-changed", times=1)
    words = "checksum mismatch (file change by other user?)"
    assert said(lab, "PUT", f"{ONE}/config", {"cores": 2, "digest": digest}) == (500, words)
    assert "somebody-elses" in lab.api("GET", f"{ONE}/config")["tags"]
    lab.api("PUT", f"{ONE}/config", {"cores": 2})


def test_tags_that_keep_their_case(lab: Lab) -> None:
    lab.clone(201)
    cause(lab, "tags-keep-case")
    lab.api("PUT", f"{ONE}/config", {"tags": "Prod"})
    assert lab.api("GET", f"{ONE}/config")["tags"] == "Prod"


def test_a_fault_strikes_only_whom_it_names(lab: Lab) -> None:
    cause(lab, "clone-fails", machine="n202")
    assert clone_ends(lab, 201) == "OK"
    assert "I/O error" in clone_ends(lab, 202)


def test_a_package_of_another_version(lab: Lab) -> None:
    def version_of(package: str) -> str:
        rows = lab.api("GET", "/nodes/pve1/apt/versions")
        return next(str(row["OldVersion"]) for row in rows if row["Package"] == package)

    current = version_of("qemu-server")
    cause(lab, "package-version", version="9.1.4")
    assert version_of("qemu-server") == "9.1.4" != current
    assert version_of("pve-qemu-kvm") == "11.0.0-2"


def covered() -> set[str]:
    """Faults this file names in a test of theirs."""
    from pathlib import Path

    here = Path(__file__).parent
    texts = "".join(
        path.read_text()
        for path in (Path(__file__), here / "test_ha.py", *(here.parent / "simulated").glob("test_*_faults.py"))
    )
    return {word for word in KINDS if f'"{word}"' in texts}


def test_every_fault_has_a_test() -> None:
    assert covered() == KINDS.keys()


def test_a_bare_refusal(lab: Lab) -> None:
    lab.clone(201)
    cause(lab, "bare-403", path="/status/start")
    assert said(lab, "POST", f"{ONE}/status/start") == (403, "Permission check failed")


@pytest.mark.parametrize(
    ("word", "ends"),
    [("kvm-missing", "KVM virtualisation configured"), ("start-dies", "start failed: QEMU exited with code 1")],
)
def test_a_start_that_cannot_be(lab: Lab, word: str, ends: str) -> None:
    lab.clone(201)
    cause(lab, word)
    upid = lab.send("POST", f"/api2/json{ONE}/status/start").json()["data"]
    assert lab.ended(upid)["exitstatus"].startswith(ends)


def test_a_vm_that_is_paused_and_stays_so(lab: Lab) -> None:
    lab.clone(201)
    cause(lab, "paused", status="io-error", times=1)
    lab.api("POST", f"{ONE}/status/start")
    until(lambda: lab.server.pve.vm(201).qmpstatus == "io-error")
    cause(lab, "pause-stays", times=1)
    lab.api("POST", f"{ONE}/status/resume")
    lab.api("POST", f"{ONE}/status/resume")
    until(lambda: lab.server.pve.vm(201).qmpstatus == "running")

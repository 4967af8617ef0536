"""What the front does beside answering as recorded (that is the contract suite's)."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import requests

from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.options import LabError, LabInfo, LabOptions
from bootstrap.lab.server import LabServer
from tests.lab.front.running import Lab

GIB = 1024**3


def test_the_info_survives_its_file(lab: Lab) -> None:
    assert LabInfo.from_json(lab.info.to_json()) == lab.info
    assert lab.info.pve_nodes == ("pve1", "pve2")
    assert len(lab.info.fingerprint.split(":")) == 32


def test_another_versions_info_is_refused() -> None:
    with pytest.raises(LabError, match=r"lab\.json is not this version's"):
        LabInfo.from_json('{"endpoint": "https://127.0.0.1:8006"}')


def test_every_wrong_option_is_named() -> None:
    with pytest.raises(LabError) as caught:
        LabServer(
            LabOptions(guests="magic", pve_nodes=0, pve_version=7, host="192.0.2.1", cores=0, memory_mib=1, port=-1)
        )
    assert len(str(caught.value).splitlines()) == 7


def test_figures_of_a_node_agree_everywhere(lab: Lab) -> None:
    status = lab.api("GET", "/nodes/pve2/status")
    assert status["cpuinfo"]["cpus"] == 4
    assert status["memory"]["total"] == 16 * GIB
    for path in ("/nodes", "/cluster/resources?type=node"):
        rows = {row["node"]: row for row in lab.api("GET", path)}
        assert {row["maxcpu"] for row in rows.values()} == {4}
        assert {row["maxmem"] for row in rows.values()} == {16 * GIB}


def test_running_vms_use_memory_of_their_own_node_only(lab: Lab) -> None:
    before = lab.api("GET", "/nodes/pve1/status")["memory"]["free"]
    lab.clone(201, start=True)
    assert lab.api("GET", "/nodes/pve1/status")["memory"]["free"] == before - GIB
    assert lab.api("GET", "/nodes/pve2/status")["memory"]["free"] == before


def test_each_node_has_a_template_and_no_clone_leaves_it(lab: Lab) -> None:
    assert lab.api("GET", "/nodes/pve2/qemu/9001/config")["template"] == 1
    reply = lab.send("POST", "/api2/json/nodes/pve1/qemu/9000/clone", {"newid": 201, "target": "pve2"})
    assert reply.reason == "can't clone VM to node 'pve2' (VM uses local storage)"
    lab.api("POST", "/nodes/pve2/qemu/9001/clone", {"newid": 201})
    assert lab.api("GET", "/nodes/pve2/qemu/201/config")["name"] == "Copy-of-VM-debian-12-k3s"


def test_images_take_only_what_is_written(lab: Lab) -> None:
    def room() -> int:
        return int(lab.api("GET", "/nodes/pve1/storage/local/status")["avail"])

    before = room()
    for vmid in range(201, 206):
        lab.api("PUT", f"{lab.clone(vmid)}/resize", {"disk": "scsi0", "size": "64G"})
    assert room() == before
    for vmid in range(201, 206):
        lab.api("DELETE", f"/nodes/pve1/qemu/{vmid}")
    time.sleep(0.1)
    assert room() == before


def test_a_guest_is_found_by_its_agent_and_its_mac(lab: Lab) -> None:
    path = lab.clone(201, start=True)
    mac = lab.api("GET", f"{path}/config")["net0"].split(",")[0].partition("=")[2]
    interfaces = lab.api("GET", f"{path}/agent/network-get-interfaces")["result"]
    eth0 = next(one for one in interfaces if one["hardware-address"] == mac.lower())
    assert IPv4Address(eth0["ip-addresses"][0]["ip-address"])


def test_an_interface_without_address_has_no_such_key(lab: Lab) -> None:
    path = lab.clone(201, start=True)
    lab.guests.guests[201].address = None
    interfaces = lab.api("GET", f"{path}/agent/network-get-interfaces")["result"]
    assert "ip-addresses" not in interfaces[1]


def test_a_program_in_the_guest_gives_its_output(lab: Lab) -> None:
    path = lab.clone(201, start=True)
    lab.guests.guests[201].programs[("/bin/id", "-u")] = (3, "out\n", "err\n")
    pid = lab.api("POST", f"{path}/agent/exec", {"command": ["/bin/id", "-u"]})["pid"]
    ended = lab.api("GET", f"{path}/agent/exec-status", {"pid": pid})
    assert ended == {"exited": 1, "exitcode": 3, "out-data": "out\n", "err-data": "err\n"}


def test_a_task_that_starts_a_guest_fails_with_the_guests_own_error(lab: Lab) -> None:
    path = lab.clone(201)
    lab.guests.refusals[201] = "no room in the inn"
    upid = lab.send("POST", f"/api2/json{path}/status/start").json()["data"]
    assert lab.ended(upid)["exitstatus"] == "start failed: no room in the inn"
    assert lab.api("GET", f"{path}/status/current")["status"] == "stopped"


def test_a_stop_task_ends_when_the_guest_is_off(lab: Lab) -> None:
    path = lab.clone(201, start=True)
    lab.api("POST", f"{path}/status/shutdown")
    assert not lab.guests.running(201)
    lab.api("POST", f"{path}/status/start")
    assert lab.guests.running(201)
    lab.api("POST", f"{path}/status/reboot")
    assert lab.guests.running(201)
    assert lab.guests.calls.count(("start", 201)) == 3


@pytest.mark.parametrize("options", [LabOptions(guests="none", port=0, time_scale=0.3)])
def test_an_agent_that_comes_up_while_it_is_asked_answers(lab: Lab) -> None:
    path = lab.clone(201, start=True)
    lab.guests.guests[201].agent_from = time.monotonic() + 0.4
    assert lab.api("POST", f"{path}/agent/ping") == {"result": {}}


@pytest.mark.parametrize("options", [LabOptions(guests="none", port=0, time_scale=0.1)])
def test_silent_agents_use_up_the_api_workers(lab: Lab) -> None:
    """Three workers, and each silent call holds one for 3 s: seven calls take three rounds."""
    paths = [lab.clone(vmid, start=True) for vmid in range(201, 208)]
    for guest in lab.guests.guests.values():
        guest.agent_from = time.monotonic() + 3600
    asked_at = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(lab.send, "GET", f"/api2/json{path}/agent/network-get-interfaces") for path in paths]
        time.sleep(0.15)
        other = pool.submit(lab.send, "GET", "/api2/json/nodes/pve1/status")
        assert {call.result().reason for call in calls} == {"QEMU guest agent is not running"}
        took_s = time.monotonic() - asked_at
        assert other.result().status_code == 200
    assert took_s > 0.85


class StubbornGuests(MemoryGuests):
    """Guests that do not power off when asked."""

    async def stop(self, vmid: int, *, graceful_s: float = 0.0) -> None:
        await asyncio.sleep(graceful_s)
        await super().stop(vmid)


def test_a_guest_that_does_not_power_off_fails_the_task(tmp_path: Path, options: LabOptions) -> None:
    guests = StubbornGuests()
    server = LabServer(options, driver=guests, state_dir=tmp_path)
    with server as info:
        lab = Lab(server, info, guests, str(tmp_path / "lab.crt"))
        path = lab.clone(201, start=True)
        upid = lab.send("POST", f"/api2/json{path}/status/shutdown", {"timeout": 1}).json()["data"]
        assert lab.ended(upid)["exitstatus"] == "VM quit/powerdown failed - got timeout"


AGENT_RIGHTS = {8: "VM.Monitor", 9: "VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted"}


@pytest.mark.parametrize(
    "options", [LabOptions(guests="none", port=0, pve_version=version, time_scale=0) for version in (8, 9)]
)
def test_agent_calls_need_the_versions_own_privilege(lab: Lab, options: LabOptions) -> None:
    path = lab.clone(201, start=True)
    assert lab.api("GET", f"{path}/agent/get-host-name") == {"result": {"host-name": "n201"}}
    lab.server.pve.vm(201).agent = {"get-host-name": {"host-name": "as-scripted"}}
    assert lab.api("GET", f"{path}/agent/get-host-name") == {"result": {"host-name": "as-scripted"}}
    refused = lab.send("GET", f"/api2/json{path}/agent/get-host-name", token=lab.info.no_rights_token)
    assert refused.reason == f"Permission check failed (/vms/201, {AGENT_RIGHTS[options.pve_version]})"
    assert lab.api("GET", "/version")["version"].startswith(str(options.pve_version))


def test_a_fault_asked_for_reaches_the_client(lab: Lab) -> None:
    path = lab.clone(201)
    lab.server.pve.fail("POST", f"{path}/status/start", 500, "boom", times=1)
    assert lab.send("POST", f"/api2/json{path}/status/start").reason == "boom"
    lab.server.pve.fail("GET", f"{path}/config", 502, "<html>bad gateway</html>", html=True, times=1)
    reply = lab.send("GET", f"/api2/json{path}/config")
    assert (reply.status_code, reply.text) == (502, "<html>bad gateway</html>")
    lab.api("POST", f"{path}/status/start")


def test_a_dropped_connection_is_dropped_for_the_client(lab: Lab) -> None:
    lab.server.pve.flaky_network(drop_rate=1.0)
    with pytest.raises(requests.ConnectionError):
        lab.send("GET", "/api2/json/nodes/pve1/storage")
    lab.server.pve.flaky_network(drop_rate=0.0)
    lab.api("GET", "/nodes/pve1/storage")


def test_a_node_that_is_off_has_no_body_to_say_so(lab: Lab) -> None:
    lab.server.pve.set_node_offline("pve2")
    reply = lab.send("GET", "/api2/json/nodes/pve2/qemu")
    assert (reply.status_code, reply.reason, reply.text) == (595, "No route to host", "")


def test_logging_in_by_password_and_its_token_against_forgery(lab: Lab) -> None:
    lab.server.pve.users["joe@pve"] = "password"
    lab.server.pve.grant("joe@pve", "/", "VM.Audit", "VM.PowerMgmt")
    got = lab.send(
        "POST", "/api2/json/access/ticket", {"username": "joe@pve", "password": "password"}, token=""
    ).json()["data"]
    cookie = {"Cookie": f"PVEAuthCookie={got['ticket']}"}
    path = f"/api2/json{lab.clone(201)}"
    assert lab.send("GET", f"{path}/config", token="", headers=cookie).status_code == 200
    forged = lab.send("POST", f"{path}/status/start", token="", headers=cookie)
    assert (forged.status_code, forged.reason) == (401, "Permission denied - invalid csrf token")
    right = {**cookie, "CSRFPreventionToken": got["CSRFPreventionToken"]}
    assert lab.send("POST", f"{path}/status/start", token="", headers=right).status_code == 200


def test_a_token_of_a_pool_may_clone_into_its_pool_only(lab: Lab) -> None:
    pve = lab.server.pve
    pve.pools["k3s"] = set()
    pve.apitokens["pool@pve!t"] = "secret"
    pve.grant("pool@pve!t", "/vms/9000", "VM.Clone", "VM.Audit")
    pve.grant("pool@pve!t", "/pool/k3s", "VM.Allocate", "VM.Audit", "VM.Config.Options")
    pve.grant("pool@pve!t", "/storage/local", "Datastore.AllocateSpace")
    pve.grant("pool@pve!t", "/sdn/zones/localnetwork", "SDN.Use")
    clone = "/api2/json/nodes/pve1/qemu/9000/clone"
    refused = lab.send("POST", clone, {"newid": 201}, token="pool@pve!t=secret")
    assert (refused.status_code, refused.reason) == (403, "Permission check failed")
    made = lab.send("POST", clone, {"newid": 201, "pool": "k3s"}, token="pool@pve!t=secret")
    assert lab.ended(made.json()["data"])["exitstatus"] == "OK"
    config = "/api2/json/nodes/pve1/qemu/201/config"
    assert lab.send("PUT", config, {"tags": "a"}, token="pool@pve!t=secret").status_code == 200
    cores = lab.send("PUT", config, {"cores": 1}, token="pool@pve!t=secret")
    assert cores.reason == "Permission check failed (/vms/201, VM.Config.CPU)"


def test_a_bridge_must_be_the_tokens_to_use(lab: Lab) -> None:
    lab.clone(202)
    lab.server.pve.apitokens["nonet@pve!t"] = "secret"
    rights = ("VM.Clone", "VM.Allocate", "VM.Audit", "VM.Config.Network", "Datastore.AllocateSpace")
    lab.server.pve.grant("nonet@pve!t", "/", *rights)
    for method, path, values in (
        ("POST", "/nodes/pve1/qemu/9000/clone", {"newid": "201"}),
        ("PUT", "/nodes/pve1/qemu/202/config", {"net0": "virtio,bridge=vmbr0"}),
    ):
        reply = lab.send(method, f"/api2/json{path}", values, token="nonet@pve!t=secret")
        assert reply.reason == "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)"


def test_room_is_needed_to_grow_a_disk_and_the_task_says_so(lab: Lab) -> None:
    path = lab.clone(201)
    lab.server.pve.apitokens["small@pve!t"] = "secret"
    lab.server.pve.grant("small@pve!t", "/vms", "VM.Config.Disk", "VM.Audit")
    upid = lab.send(
        "PUT", f"/api2/json{path}/resize", {"disk": "scsi0", "size": "+1G"}, token="small@pve!t=secret"
    ).json()
    ended = lab.ended(upid["data"])
    assert ended["exitstatus"] == "403 Permission check failed (/storage/local, Datastore.AllocateSpace)"


def test_the_other_format_of_the_api_is_passed_on(lab: Lab) -> None:
    reply = lab.send("GET", "/api2/extjs/nodes/pve1/qemu/999/config")
    assert reply.status_code == 200
    assert reply.json()["success"] == 0

"""What a clone's config is on its way, what it inherits, and whose it is to change: as `PVE/API2/Qemu.pm` has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.lab.front.vms.cloning import IMAGE_THERE
from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.options import LabOptions
from bootstrap.lab.server import LabServer
from tests.lab.front.running import Lab

ONE = "/nodes/pve1/qemu/201"
TEMPLATE = "/nodes/pve1/qemu/9000"
REAL = {"usb0": "host=1234:5678", "hostpci0": "0000:01:00.0"}


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Lab]:
    options = LabOptions(guests="simulated", port=0, time_scale=0.1, delays="clone=5,clone_drive=5", pve_nodes=2)
    guests = MemoryGuests()
    server = LabServer(options, driver=guests, state_dir=tmp_path)
    with server as info:
        yield Lab(server, info, guests, str(tmp_path / "lab.crt"))


def begin(lab: Lab, vmid: int = 201, **values: object) -> str:
    reply = lab.send("POST", f"/api2/json{TEMPLATE}/clone", {"newid": vmid, "name": f"n{vmid}", **values})
    assert reply.status_code == 200, reply.reason
    return str(reply.json()["data"])


def refused(lab: Lab, method: str, path: str, values: dict[str, Any] | None = None) -> tuple[int, str]:
    reply = lab.send(method, f"/api2/json{path}", values)
    return reply.status_code, reply.reason


def config(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = lab.api("GET", f"{ONE}/config")
    found.pop("digest")
    return found


def test_until_the_first_volume_is_there_the_config_has_only_the_lock(slow: Lab) -> None:
    upid = begin(slow, description="ours")
    assert config(slow) == {"description": " qmclone temporary file", "lock": "clone"}
    assert [row["name"] for row in slow.api("GET", "/nodes/pve1/qemu") if row["vmid"] == 201] == ["VM 201"]
    while "name" not in (now := config(slow)):
        assert now["lock"] == "clone"
    assert (now["name"], now["description"], now["lock"]) == ("n201", "ours", "clone")
    assert "ide2" in now
    assert "scsi0" not in now
    assert slow.ended(upid)["exitstatus"] == "OK"
    assert "lock" not in config(slow)


def test_it_is_on_the_templates_node_until_its_end(slow: Lab) -> None:
    slow.server.pve.storages["local"]["shared"] = 1
    upid = begin(slow, target="pve2")
    assert slow.server.pve.vm(201).node == "pve1"
    assert slow.ended(upid)["exitstatus"] == "OK"
    assert slow.server.pve.vm(201).node == "pve2"


def test_a_worker_that_was_killed_leaves_what_it_had_written(lab: Lab) -> None:
    fault = lab.server.faults.add("clone-dies", times=1)
    assert lab.ended(begin(lab))["exitstatus"] == "unexpected status"
    assert config(lab) == {"description": " qmclone temporary file", "lock": "clone"}
    assert fault.hits == 1
    lab.server.faults.add("clone-dies", times=1, written=1)
    assert lab.ended(begin(lab, 202))["exitstatus"] == "unexpected status"
    found = lab.api("GET", "/nodes/pve1/qemu/202/config")
    assert (found["name"], found["lock"]) == ("n202", "clone")


@pytest.mark.parametrize("where", ["vm elsewhere", "container"])
def test_a_vmid_of_another_node_or_of_a_container_shows_in_the_task(lab: Lab, where: str) -> None:
    pve = lab.server.pve
    if where == "container":
        pve.add_ct(201, "box", node="pve1")
    else:
        pve.add_node("pve2")
        pve.add_vm(201, "other", node="pve2")
    end = lab.ended(begin(lab))["exitstatus"]
    assert end == "close (rename) atomic file '/etc/pve/nodes/pve1/qemu-server/201.conf' failed: File exists"
    assert refused(lab, "GET", "/cluster/nextid", {"vmid": 201})[0] == 400


@pytest.mark.parametrize(("kind", "words"), [("dir", "disk image '/var/lib/vz"), *IMAGE_THERE.items()])
def test_a_volume_that_is_left_fails_the_clone_and_stays(lab: Lab, kind: str, words: str) -> None:
    lab.server.pve.storages["local"]["type"] = kind
    lab.server.faults.add("orphan-volume", times=1)
    end = lab.ended(begin(lab))["exitstatus"]
    assert end.startswith(f"clone failed: {words.partition('{')[0]}")
    assert lab.server.pve.vm(201) is None
    assert lab.ended(begin(lab))["exitstatus"] == end
    lab.server.pve.storages["local"]["type"] = "dir"  # where the template's qcow2 can be
    assert lab.ended(begin(lab, 202))["exitstatus"] == "OK"


def test_a_clone_inherits_all_but_unused_disks(lab: Lab) -> None:
    options = {
        "protection": 1, "vcpus": 1, "cpulimit": "0.5", "cpuunits": 50, "cicustom": "user=local:snippets/u.yml",
        "net1": "virtio=BC:24:11:00:00:09,bridge=vmbr0", "ipconfig1": "ip=dhcp", "cipassword": "x", "args": "-x",
        "hookscript": "local:snippets/h.pl", "affinity": "0", "hugepages": "2", "startup": "order=1",
        "usb0": "spice", "tags": "Debian;k3s", "description": "notes",
    }  # fmt: skip
    template = lab.server.pve.vm(9000).config
    template.update(options, net0=f"{template['net0']},link_down=1", unused0="local:9000/vm-9000-disk-9.qcow2")
    lab.clone(201)
    found = lab.server.pve.vm(201).config
    assert {key: found.get(key) for key in options if key != "net1"} == {
        key: value for key, value in options.items() if key != "net1"
    }
    assert "bridge=vmbr0" in found["net1"]
    assert "link_down=1" in found["net0"]
    assert "unused0" not in found


@pytest.mark.parametrize("key", REAL)
def test_a_template_with_devices_of_the_host_is_cloned_by_root_alone(lab: Lab, key: str) -> None:
    lab.server.pve.vm(9000).config[key] = REAL[key]
    status, reason = refused(lab, "POST", f"{TEMPLATE}/clone", {"newid": 201})
    assert status == 500
    assert reason.startswith(f"only root can set '{key}' config for ")


@pytest.mark.parametrize("key", ["affinity", "args", "hookscript", "hugepages"])
def test_what_is_roots_is_neither_set_nor_deleted_by_others(lab: Lab, key: str) -> None:
    lab.clone(201)
    text = f"only root can set '{key}' config"
    assert refused(lab, "PUT", f"{ONE}/config", {"delete": key}) == (500, text)
    lab.server.pve.storages["local"]["volumes"]["snippets/h.pl"] = {"content": "snippets", "size": 1}
    value = {"hookscript": "local:snippets/h.pl", "hugepages": "2"}.get(key, "1")
    assert refused(lab, "PUT", f"{ONE}/config", {key: value}) == (500, text)


@pytest.mark.parametrize("key", REAL)
def test_so_are_devices_of_the_host(lab: Lab, key: str) -> None:
    lab.clone(201)
    said = refused(lab, "PUT", f"{ONE}/config", {key: REAL[key]})
    assert said[1].startswith(f"only root can set '{key}' config for ")
    lab.server.pve.vm(201).config[key] = REAL[key]
    assert refused(lab, "PUT", f"{ONE}/config", {"delete": key}) == said


def test_the_startup_order_needs_a_right_on_the_whole(lab: Lab) -> None:
    lab.clone(201)
    for values in ({"startup": "order=1"}, {"delete": "startup"}):
        assert refused(lab, "PUT", f"{ONE}/config", values) == (403, "Permission check failed (/, Sys.Modify)")


def test_a_protected_vm_stays(lab: Lab) -> None:
    lab.clone(201)
    lab.api("PUT", f"{ONE}/config", {"protection": 1})
    assert refused(lab, "DELETE", ONE) == (500, "can't remove VM 201 - protection mode enabled")
    lab.api("PUT", f"{ONE}/config", {"delete": "protection"})
    lab.api("DELETE", ONE)


def test_more_vcpus_than_cores_do_not_start(lab: Lab) -> None:
    lab.clone(201)
    lab.api("PUT", f"{ONE}/config", {"cores": 1, "vcpus": 2})
    upid = lab.send("POST", f"/api2/json{ONE}/status/start").json()["data"]
    assert lab.ended(upid)["exitstatus"] == "start failed: QEMU exited with code 1"
    log = lab.api("GET", f"/nodes/pve1/tasks/{upid}/log")
    assert any("Invalid CPU topology" in line["t"] for line in log)


def test_a_disk_that_is_replaced_or_taken_out_stays_unused_until_it_is_removed(lab: Lab) -> None:
    lab.clone(201)
    for _ in range(2):
        lab.api("PUT", f"{ONE}/config", {"scsi1": "local:1"})
    first = config(lab)["unused0"]
    lab.api("PUT", f"{ONE}/config", {"delete": "scsi1"})
    assert "unused1" in config(lab)
    lab.api("PUT", f"{ONE}/config", {"delete": "unused0"})
    assert "unused0" not in config(lab)
    assert first.partition(":")[2] not in lab.server.pve.storages["local"]["volumes"]


def test_an_option_is_not_set_and_deleted_at_once(lab: Lab) -> None:
    lab.clone(201)
    reply = lab.send("PUT", f"/api2/json{ONE}/config", {"cores": 1, "delete": "cores"})
    assert reply.status_code == 400
    assert reply.json()["errors"] == {"delete": "you can't use '-cores' and -delete cores' at the same time"}


def test_tags_keep_their_case_where_the_cluster_says_so(lab: Lab) -> None:
    lab.clone(201)
    lab.api("PUT", f"{ONE}/config", {"tags": "Prod;demo"})
    assert config(lab)["tags"] == "demo;prod"
    lab.server.faults.add("tags-keep-case")
    lab.api("PUT", f"{ONE}/config", {"tags": "demo;Prod"})
    assert config(lab)["tags"] == "Prod;demo"

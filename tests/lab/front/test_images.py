"""Images come onto a storage, become disks, and an ISO in a drive is what the guest boots with."""

from __future__ import annotations

import functools
import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from bootstrap.lab.guests.base import NoCloudSeed
from bootstrap.lab.guests.seed import read_seed_iso, write_seed_iso
from tests.lab.front.running import Lab

NODE = "/nodes/pve1"
STORAGE = f"{NODE}/storage/local"
SEED = NoCloudSeed(meta_data="instance-id: x\n", user_data="#cloud-config\nuser: me\n", network_config="version: 2\n")
SHA = hashlib.sha512(b"an image").hexdigest()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "image.qcow2").write_bytes(b"an image")
    with HTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/image.qcow2"
        server.shutdown()
        thread.join()


def download(lab: Lab, url: str, **values: str) -> str:
    sent = {"url": url, "filename": "x.qcow2", "content": "import", "checksum": SHA, "checksum-algorithm": "sha512"}
    reply = lab.send("POST", f"/api2/json{STORAGE}/download-url", sent | values)
    assert reply.status_code == 200, reply.text
    return str(lab.ended(reply.json()["data"])["exitstatus"])


def upload(lab: Lab, path: Path) -> str:
    with path.open("rb") as file:
        reply = requests.post(
            f"{lab.info.endpoint}/api2/json{STORAGE}/upload",
            headers={"Authorization": f"PVEAPIToken={lab.info.token_id}={lab.info.token_secret}"},
            data={"content": "iso"},
            files={"filename": (path.name, file)},
            verify=lab.cert,
            timeout=30,
        )
    assert reply.status_code == 200, reply.text
    return str(lab.ended(reply.json()["data"])["exitstatus"])


def content(lab: Lab, kind: str) -> list[str]:
    return [item["volid"] for item in lab.api("GET", f"{STORAGE}/content", {"content": kind})]


def make(lab: Lab, **values: object) -> None:
    lab.api("POST", f"{NODE}/qemu", {"vmid": 301, "name": "b", "net0": "virtio,bridge=vmbr0", **values})


def test_an_image_is_fetched_once(lab: Lab, url: str, tmp_path: Path) -> None:
    assert download(lab, url) == "OK"
    assert content(lab, "import") == ["local:import/x.qcow2"]
    (tmp_path / "image.qcow2").unlink()
    assert download(lab, url) == "OK"


def test_an_image_that_arrives_changed_is_not_kept(lab: Lab, url: str) -> None:
    assert download(lab, url, checksum="0" * 128).startswith("checksum mismatch: got 'b85976")
    assert content(lab, "import") == []


def test_only_this_machine_is_asked(lab: Lab) -> None:
    assert "from this machine only" in download(lab, "http://192.0.2.1/image.qcow2")


def test_an_import_needs_an_image_s_name(lab: Lab, url: str) -> None:
    sent = {"url": url, "filename": "x.img", "content": "import"}
    reply = lab.send("POST", f"/api2/json{STORAGE}/download-url", sent)
    assert reply.json()["errors"] == {"filename": "invalid filename or wrong extension"}


def test_a_disk_of_an_image_becomes_a_template_s_and_a_clone_stands_on_it(lab: Lab, url: str) -> None:
    assert download(lab, url) == "OK"
    make(lab, scsi0="local:0,import-from=local:import/x.qcow2,discard=on")
    config = lab.api("GET", f"{NODE}/qemu/301/config")
    assert config["scsi0"].split(",")[0] == "local:301/vm-301-disk-0.qcow2"
    assert {"discard=on", "size=3G"} <= set(config["scsi0"].split(","))
    lab.api("PUT", f"{NODE}/qemu/301/config", {"ide2": "local:cloudinit"})
    lab.api("POST", f"{NODE}/qemu/301/template")
    lab.api("POST", f"{NODE}/qemu/301/clone", {"newid": 302, "name": "c", "full": 0})
    config = lab.api("GET", f"{NODE}/qemu/302/config")
    assert config["scsi0"].startswith("local:301/base-301-disk-0.qcow2/302/vm-302-disk-0.qcow2")
    assert config["ide2"].startswith("local:302/vm-302-cloudinit.qcow2,")


def test_a_guest_boots_with_the_iso_in_its_drive_until_that_is_replaced(lab: Lab, tmp_path: Path) -> None:
    write_seed_iso(SEED, tmp_path / "seed.iso")
    assert upload(lab, tmp_path / "seed.iso") == "OK"
    make(lab, ide2="local:iso/seed.iso,media=cdrom", ciuser="cloud")
    lab.api("POST", f"{NODE}/qemu/301/status/start")
    spec = lab.guests.guests[301].spec
    assert spec is not None
    assert spec.seed == SEED
    lab.api("POST", f"{NODE}/qemu/301/status/stop")
    lab.api("PUT", f"{NODE}/qemu/301/config", {"ide2": "local:cloudinit"})
    assert lab.api("GET", f"{NODE}/qemu/301/config")["ide2"] == "local:301/vm-301-cloudinit.qcow2,media=cdrom"
    lab.api("POST", f"{NODE}/qemu/301/status/start")
    spec = lab.guests.guests[301].spec
    assert spec is not None
    assert spec.seed is not None
    assert "user: cloud" in spec.seed.user_data


def test_an_iso_can_be_removed(lab: Lab, tmp_path: Path) -> None:
    write_seed_iso(SEED, tmp_path / "seed.iso")
    upload(lab, tmp_path / "seed.iso")
    lab.api("DELETE", f"{STORAGE}/content/local%3Aiso%2Fseed.iso")
    assert content(lab, "iso") == []


def test_what_is_no_seed_is_none(tmp_path: Path) -> None:
    assert read_seed_iso(b"no ISO at all") is None
    write_seed_iso(SEED, tmp_path / "seed.iso")
    data = (tmp_path / "seed.iso").read_bytes()
    assert read_seed_iso(data) == SEED
    assert read_seed_iso(data.replace(b"cidata", b"others").replace("cidata".encode("utf-16-be"), b"o" * 12)) is None


def test_a_template_that_was_a_guest_keeps_its_disk(lab: Lab) -> None:
    make(lab, scsi0="local:1")
    lab.api("POST", f"{NODE}/qemu/301/status/start")
    lab.api("POST", f"{NODE}/qemu/301/status/stop")
    lab.api("POST", f"{NODE}/qemu/301/template")
    time.sleep(0.2)  # the supervisor looks every 50 ms
    assert 301 in lab.guests.guests
    lab.api("DELETE", f"{NODE}/qemu/301")
    deadline = time.monotonic() + 60
    while 301 in lab.guests.guests:
        assert time.monotonic() < deadline
        time.sleep(0.02)

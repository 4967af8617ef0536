"""The lab grants and refuses as Proxmox VE does: ACLs, pools, tokens, and the tags that a token may set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootstrap.lab.options import LabOptions
from bootstrap.lab.server import LabServer
from tests.lab.front.running import Lab

TOKEN = "pool@pve!t"
GUESTS = ("VM.Allocate", "VM.Audit", "VM.Config.Options", "VM.Clone")


@pytest.fixture
def pve(lab: Lab) -> Any:
    """A pool, and a token with rights on it alone."""
    lab.server.pve.pools["kpool"] = set()
    lab.server.pve.pool_info["kpool"] = {"comment": None, "storage": {"local"}}
    lab.server.pve.apitokens[TOKEN] = "secret"
    lab.server.pve.grant(TOKEN, "/pool/kpool", *GUESTS, "Datastore.AllocateSpace")
    return lab.server.pve


def held(lab: Lab, path: str | None = None, *, token: str = f"{TOKEN}=secret") -> Any:
    asked = {"path": path} if path else None
    return lab.send("GET", "/api2/json/access/permissions", asked, token=token).json()["data"]


def create(lab: Lab, vmid: int, kind: str = "qemu", **values: Any) -> str:
    parameters = {"vmid": vmid, "pool": "kpool", **values}
    return lab.send("POST", f"/api2/json/nodes/pve1/{kind}", parameters, token=f"{TOKEN}=secret").reason


def root(lab: Lab, method: str, path: str, values: dict[str, Any]) -> Any:
    reply = lab.send(method, f"/api2/json{path}", values, token=lab.info.root_token)
    assert reply.status_code == 200, reply.reason
    return reply.json()["data"]


def put_tags(lab: Lab, vmid: int, tags: str) -> str:
    path = f"/api2/json/nodes/pve1/qemu/{vmid}/config"
    return lab.send("PUT", path, {"tags": tags}, token=f"{TOKEN}=secret").reason


def test_an_acl_on_a_path_replaces_what_it_would_inherit(lab: Lab, pve: Any) -> None:
    pve.grant(TOKEN, "/vms", "VM.Audit", "VM.PowerMgmt")
    pve.grant(TOKEN, "/vms/201", "VM.Clone")
    pve.grant(TOKEN, "/vms/202", "NoAccess")
    assert held(lab, "/vms/200") == {"/vms/200": {"VM.Audit": 1, "VM.PowerMgmt": 1}}
    assert held(lab, "/vms/201") == {"/vms/201": {"VM.Clone": 1}}
    assert held(lab, "/vms/202") == {"/vms/202": {}}


def test_an_acl_that_does_not_propagate_holds_on_its_path_alone(lab: Lab, pve: Any) -> None:
    pve.grant(TOKEN, "/vms", "VM.Audit")
    lab.server.access.local.add((TOKEN, "/vms"))
    assert held(lab, "/vms") == {"/vms": {"VM.Audit": 0}}
    assert held(lab, "/vms/201") == {"/vms/201": {}}


def test_a_pools_acl_reaches_its_guests_and_storages(lab: Lab, pve: Any) -> None:
    pve.pools["kpool"].add(201)
    pve.pools["kpool"].add(202)
    pve.grant(TOKEN, "/vms/202", "NoAccess")
    everything = held(lab)
    assert sorted(everything) == ["/pool/kpool", "/storage/local", "/vms/201"], "empty entries are left out"
    assert everything["/vms/201"] == dict.fromkeys(sorted((*GUESTS, "Datastore.AllocateSpace")), 0)
    assert everything["/pool/kpool"]["VM.Clone"] == 1
    assert held(lab, "/vms/203") == {"/vms/203": {}}


def test_separated_privileges_are_those_that_the_user_has_too(lab: Lab, pve: Any) -> None:
    pve.grant("pool@pve", "/pool/kpool", "VM.Audit")
    assert set(held(lab, "/pool/kpool")["/pool/kpool"]) > {"VM.Clone"}
    lab.server.access.separated.add(TOKEN)
    assert held(lab, "/pool/kpool") == {"/pool/kpool": {"VM.Audit": 1}}


def test_tags_in_a_create_request_come_before_the_pool(lab: Lab, pve: Any) -> None:
    values = {"vmid": 7099, "pool": "kpool", "tags": "a"}
    asked = lab.send("POST", "/api2/json/nodes/pve1/qemu", values, token=f"{TOKEN}=secret")
    refused = "Permission check failed (/vms/7099, VM.Config.Options)"
    assert lab.ended(asked.json()["data"])["exitstatus"] == f"unable to create VM 7099 - 403 {refused}"
    assert create(lab, 7099) == "OK"
    assert put_tags(lab, 7099, "a") == "OK"


def test_tags_of_a_container_come_before_the_pool(lab: Lab, pve: Any) -> None:
    refused = create(lab, 7099, "lxc", tags="a", ostemplate="local:vztmpl/x")
    assert refused == "Permission check failed (/vms/7099, VM.Config.Options)"


def test_proxmox_ve_8_does_not_check_the_tags_of_a_new_vm(options: LabOptions, lab: Lab, tmp_path: Path) -> None:
    server = LabServer(replace(options, pve_version=8), state_dir=tmp_path / "eight")
    (tmp_path / "eight").mkdir()
    with server as info:
        old = Lab(server, info, lab.guests, str(tmp_path / "eight/lab.crt"))
        server.pve.pools["kpool"] = set()
        server.pve.apitokens[TOKEN] = "secret"
        server.pve.grant(TOKEN, "/pool/kpool", *GUESTS)
        assert create(old, 7099, tags="a") == "OK"


def test_a_registered_tag_needs_sys_modify(lab: Lab, pve: Any) -> None:
    assert create(lab, 7001) == "OK"
    root(lab, "PUT", "/cluster/options", {"registered-tags": "prod;homelab-k8s"})
    assert put_tags(lab, 7001, "mine") == "OK"
    denied = "Permission check failed (/, Sys.Modify for modifying tag 'homelab-k8s')"
    assert put_tags(lab, 7001, "homelab-k8s;mine") == denied
    assert root(lab, "GET", "/cluster/options", {})["registered-tags"] == ["homelab-k8s", "prod"]
    root(lab, "PUT", "/cluster/options", {"delete": "registered-tags"})
    assert put_tags(lab, 7001, "homelab-k8s;mine") == "OK"


@pytest.mark.parametrize(
    ("access", "allowed"),
    [
        ("", {"demo", "mine"}),
        ("user-allow=list,user-allow-list=demo", {"demo"}),
        ("user-allow=existing,user-allow-list=demo", {"debian-12", "demo", "template"}),
        ("user-allow=none,user-allow-list=demo", set()),
    ],
)
def test_user_tag_access_keeps_a_token_to_some_tags(lab: Lab, pve: Any, access: str, allowed: set[str]) -> None:
    assert create(lab, 7001) == "OK"
    pve.grant(TOKEN, "/vms/9000", "VM.Audit")  # its tags exist, as far as this token sees
    if access:
        root(lab, "PUT", "/cluster/options", {"user-tag-access": access})
    got = {tag for tag in ("debian-12", "demo", "mine", "template") if put_tags(lab, 7001, tag) == "OK"}
    if access:
        assert got <= allowed
        shown = lab.send("GET", "/api2/json/cluster/options", token=f"{TOKEN}=secret").json()["data"]
        assert set(shown) == {"allowed-tags"}, "without Sys.Audit on / there is nothing else"
        assert set(shown["allowed-tags"]) == allowed
    else:
        assert got == {"debian-12", "demo", "mine", "template"}


def test_a_stock_storage_takes_no_import(options: LabOptions, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "stock").mkdir()
    server = LabServer(replace(options, storage_content="backup,iso,vztmpl"), state_dir=tmp_path / "stock")
    with server as info:
        stock = Lab(server, info, lab.guests, str(tmp_path / "stock/lab.crt"))
        rows = stock.api("GET", "/nodes/pve1/storage")
        assert [set(row["content"].split(",")) for row in rows] == [{"backup", "iso", "vztmpl"}]
        path = "/api2/json/nodes/pve1/storage/local/download-url"
        wanted = {"url": "http://127.0.0.1/a.qcow2", "filename": "a.qcow2", "content": "import"}
        assert "not configured for content-type 'import'" in stock.send("POST", path, wanted).reason
    assert LabOptions(storage_content="iso,imports").problems() == (
        "storage_content: imports is not one of backup, images, import, iso, none, rootdir, snippets, vztmpl",
    )


def test_a_vlan_tag_may_be_the_tokens_alone(lab: Lab, pve: Any) -> None:
    pve.grant(TOKEN, "/pool/kpool", "VM.Config.Network")
    pve.grant(TOKEN, "/sdn/zones/localnetwork/vmbr0/20", "SDN.Use")
    assert create(lab, 7001) == "OK"
    path = "/api2/json/nodes/pve1/qemu/7001/config"
    for net, shown in (
        ("virtio,bridge=vmbr0,tag=20", "OK"),
        ("virtio,bridge=vmbr0,tag=21", "Permission check failed (/sdn/zones/localnetwork/vmbr0/21, SDN.Use)"),
        ("virtio,bridge=vmbr0", "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)"),
    ):
        assert lab.send("PUT", path, {"net0": net}, token=f"{TOKEN}=secret").reason == shown

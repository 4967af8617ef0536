"""Marker VMs, against the lab's front over TLS: one vmid for one, writes that notice other writes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import HypervisorError, PermissionDeniedError, VmidTakenError
from bootstrap.model.ids import ClusterName, PveNodeName, Vmid
from bootstrap.ports import Marker
from bootstrap.records.vms.lock import LockRecord, marker_of, render_lock
from bootstrap.records.vms.seal import Bearer
from tests.adapters.proxmox.pve_lab import PVE1, VMIDS, Lab, Relay, token
from tests.fakes.keys import KEYS

LAST = Vmid(7999)
TAGS = ("demo", "homelab-k8s")
UUID = "8d1f3d0e-2c55-4c4c-9d0e-0a1b2c3d4e5f"


def create(hypervisor: ProxmoxHypervisor, text: str = "held\nby: me", **changes: object) -> None:
    arguments: dict[str, object] = {"pve_nodes": (), "name": "demo-lock", "description": text, "tags": TAGS}
    arguments["smbios_uuid"] = UUID
    hypervisor.markers.create(LAST, **{"resource_pool": None, **arguments, **changes})  # type: ignore[arg-type]


def found(hypervisor: ProxmoxHypervisor) -> Marker:
    marker = hypervisor.markers.find(LAST)
    assert marker is not None
    return marker


def test_a_marker_is_made_read_changed_and_removed(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    assert hypervisor.markers.find(LAST) is None
    create(hypervisor)
    marker = found(hypervisor)
    assert (marker.name, marker.description, marker.lock, marker.pve_node) == ("demo-lock", "held\nby: me", None, PVE1)
    assert (marker.smbios_uuid, marker.drives) == (UUID, ())
    config = lab.pve.vm(LAST).config
    assert not [key for key in config if key.startswith(("scsi", "ide", "net", "virtio"))]
    assert hypervisor.markers.rewrite(marker, name="prod-lock", description="held\nby: you", tags=("prod",))
    assert (found(hypervisor).name, found(hypervisor).description) == ("prod-lock", "held\nby: you")
    hypervisor.markers.remove(found(hypervisor))
    assert hypervisor.markers.find(LAST) is None
    hypervisor.markers.remove(marker)


def test_observing_shows_a_marker_as_what_it_is(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    demo = ClusterName("demo")
    record = LockRecord(cluster=demo, who="me", pid=1, process="", run="r", command="up", since="now")
    bearer = Bearer(vmid=LAST, name="demo-lock", identity=UUID)
    create(hypervisor, render_lock(record, key=KEYS.need(demo), bearer=bearer))
    facts = hypervisor.observe(cluster=demo, vmids=VMIDS)
    vm = marker_of(demo, facts.vms)
    assert vm is not None
    lab.pve.vm(LAST).config["scsi0"] = "local:7999/vm-7999-disk-0.qcow2,size=3G"
    assert found(hypervisor).drives == ("scsi0",)
    assert marker_of(demo, hypervisor.observe(cluster=demo, vmids=VMIDS).vms) is None
    assert vm.vmid == LAST
    assert LAST in facts.used_vmids
    assert facts.pve_nodes[0].committed_memory_mib == 0


def test_a_write_over_another_write_is_refused(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    create(hypervisor)
    seen = found(hypervisor)
    other = lab.connect()
    assert other.markers.rewrite(seen, name="demo-lock", description="theirs", tags=TAGS)
    assert not hypervisor.markers.rewrite(seen, name="demo-lock", description="mine", tags=TAGS)
    assert found(hypervisor).description == "theirs"


def test_of_many_who_make_or_take_over_a_marker_one_wins(lab: Lab) -> None:
    connections = [lab.connect() for _ in range(6)]

    def make(number: int) -> bool:
        try:
            create(connections[number], f"by {number}")
        except VmidTakenError:
            return False
        return True

    def take(number: int) -> bool:
        return connections[number].markers.rewrite(seen, name="demo-lock", description=f"taken by {number}", tags=TAGS)

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(make, range(6)))
        seen = found(connections[0])
        taken = list(pool.map(take, range(6)))
    assert (made.count(True), taken.count(True)) == (1, 1)
    assert seen.description == f"by {made.index(True)}"
    assert found(connections[0]).description == f"taken by {taken.index(True)}"


def test_a_marker_in_the_making_is_seen_as_locked(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    """Proxmox VE writes `lock: create` at once, and all else when the task runs."""
    lab.pve.add_vm(LAST, "", config={})
    lab.pve.snapshot_lock(LAST, "create")
    marker = found(hypervisor)
    assert marker.lock == "create"
    assert not hypervisor.markers.rewrite(marker, name="demo-lock", description="mine", tags=TAGS)


def test_a_marker_is_found_on_whichever_proxmox_node_it_is(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab(pve_nodes=2)
    first, second = lab.connect(), lab.connect()
    create(first, pve_nodes=(PveNodeName("pve2"),))
    assert found(second).pve_node == PveNodeName("pve2")
    second.markers.remove(found(second))
    assert first.markers.find(LAST) is None
    create(second, pve_nodes=(PVE1,))
    assert found(first).pve_node == PVE1
    with pytest.raises(HypervisorError, match="cannot make the marker VM 7999"):
        create(first, pve_nodes=(PveNodeName("pve9"),))


def test_the_rights_that_machines_need_are_enough(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.pools["k3s"] = set()
    lab.grant_only(("/pool/k3s", "VM.Allocate VM.Audit VM.Config.HWType VM.Config.Options"))
    create(hypervisor, resource_pool="k3s")
    marker = found(hypervisor)
    assert hypervisor.markers.rewrite(marker, name="demo-lock", description="2", tags=TAGS)
    hypervisor.markers.remove(found(hypervisor))
    with pytest.raises(PermissionDeniedError):
        create(lab.connect(token=token(lab.info.no_rights_token)))


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_lost_connection_leaves_one_marker_or_none_but_never_a_wrong_word(lab: Lab, relay: Relay, lost: str) -> None:
    parts = lab.endpoint.url.rpartition(":")
    hypervisor = lab.connect_to(replace(lab.endpoint, url=f"{parts[0]}:{relay.port}"))
    assert hypervisor.markers.find(LAST) is None
    relay.lose = lost
    try:
        create(hypervisor, "mine")
    except VmidTakenError:
        assert lost == "answer", "our own first request has taken it"
    assert found(hypervisor).description == "mine"


def test_a_proxmox_node_that_does_not_answer_is_passed_over(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab(pve_nodes=2)
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=0.3)
    lab.pve.fail("GET", "/nodes/pve1/qemu", 595, "No route to host")
    lab.pve.fail("POST", "/nodes/pve1/qemu", 595, "No route to host")
    create(hypervisor)
    assert found(hypervisor).pve_node == "pve2"
    assert found(lab.connect_to(lab.endpoint, retry_for_s=0.3)).pve_node == "pve2"

"""VMs that moved since they were seen: found in the whole Proxmox cluster and acted on where they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import TransientError, VmNotFoundError, VmOutOfSightError
from bootstrap.model.ids import ClusterName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.ports import ContainerRequest
from tests.adapters.proxmox.pve_lab import NAME, PVE1, VM, VMIDS, Lab, clone_request

UUID = "8d1f3d0e-2c55-4c4c-9d0e-0a1b2c3d4e5f"
PVE2 = PveNodeName("pve2")
CT = Vmid(7002)
DEMO = ClusterName("demo")


@pytest.fixture
def lab(start_lab: Callable[..., Lab]) -> Lab:
    return start_lab(pve_nodes=3)


@pytest.fixture
def ct(lab: Lab, hypervisor: ProxmoxHypervisor) -> Vmid:
    settings = {"ostemplate": "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst", "rootfs": "local:8"}
    request = ContainerRequest(pve_node=PVE1, vmid=CT, name=NAME, description="", settings=settings)
    hypervisor.create_container(request, warn=lab.warnings.append)
    return CT


def move(lab: Lab, vmid: Vmid, to: str = "pve2") -> None:
    lab.pve.guest(vmid).node = to


ACTS: dict[str, Callable[[ProxmoxHypervisor, Vmid], object]] = {
    "read": lambda it, vmid: it.read_vm(vmid, pve_node=PVE1),
    "configure": lambda it, vmid: it.configure(vmid, pve_node=PVE1, settings={"cores": 2}),
    "grow": lambda it, vmid: it.grow_disk(vmid, pve_node=PVE1, disk="scsi0", size_gib=5, warn=print),
    "start": lambda it, vmid: it.start(vmid, pve_node=PVE1, warn=print),
    "shutdown": lambda it, vmid: it.shutdown(vmid, pve_node=PVE1, timeout_s=5, warn=print),
    "stop": lambda it, vmid: it.stop(vmid, pve_node=PVE1, warn=print),
    "interfaces": lambda it, vmid: it.guest_interfaces(vmid, pve_node=PVE1),
    "file": lambda it, vmid: it.read_guest_file(vmid, pve_node=PVE1, path="/etc/hostname"),
    "describe": lambda it, vmid: it.templates.describe(vmid, pve_node=PVE1, description="x"),
    "seal": lambda it, vmid: it.templates.seal(
        vmid, pve_node=PVE1, drive="ide2", storage=StorageName("local"), description="x"
    ),
}


@pytest.mark.parametrize("name", ACTS)
def test_every_call_follows_a_vm_that_moved(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid, name: str) -> None:
    if name in ("shutdown", "stop", "interfaces", "file"):
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    move(lab, vm)
    ACTS[name](hypervisor, vm)
    found = lab.pve.vm(vm)
    expected = {
        "configure": found.config["cores"] == 2,
        "grow": "size=5G" in found.config["scsi0"],
        "start": found.status == "running",
        "shutdown": found.status == "stopped",
        "stop": found.status == "stopped",
        "describe": found.config["description"] == "x",
        "seal": "cloudinit" in found.config["ide2"],
    }
    assert expected.get(name, True)


@pytest.mark.parametrize("name", ["read", "start", "stop", "interfaces"])
def test_every_call_follows_a_container_that_moved(
    lab: Lab, hypervisor: ProxmoxHypervisor, ct: Vmid, name: str
) -> None:
    if name in ("stop", "interfaces"):
        hypervisor.start(ct, pve_node=PVE1, warn=lab.warnings.append)
    move(lab, ct)
    ACTS[name](hypervisor, ct)
    assert hypervisor.read_vm(ct, pve_node=PVE1).pve_node == PVE2
    assert (lab.pve.ct(ct).status == "running") is (name in ("start", "interfaces"))


def test_a_reading_tells_where_it_is_now_and_that_is_remembered(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    move(lab, vm)
    assert hypervisor.read_vm(vm, pve_node=PVE1).pve_node == PVE2
    lab.seen.clear()
    hypervisor.read_vm(vm, pve_node=PVE1)
    assert {path.split("/")[4] for _, path in lab.seen} == {"pve2"}
    move(lab, vm, "pve1")
    assert hypervisor.read_vm(vm, pve_node=PVE1).pve_node == PVE1


@pytest.mark.parametrize("kind", list(MachineKind))
def test_what_moved_is_destroyed_where_it_is(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid, ct: Vmid, kind: MachineKind
) -> None:
    vmid = vm if kind is MachineKind.VM else ct
    move(lab, vmid)
    hypervisor.destroy(vmid, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.guest(vmid) is None


def test_one_that_moves_right_before_its_removal_is_not_taken_for_gone(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    lab.server.faults.add("vm-moved", method="DELETE", path="/qemu/7001", times=1)
    hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.vm(vm) is None


def test_a_removal_is_checked_in_the_whole_cluster(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    """The task ends well, but the VM stands elsewhere: seen by its vmid, whichever Proxmox node lists it."""
    original = lab.pve.vms.remove

    def moved_instead(removed: object) -> None:
        move(lab, vm)

    class Keeping(list):  # type: ignore[type-arg]
        def remove(self, removed: object) -> None:
            moved_instead(removed)

    lab.pve.vms = Keeping(lab.pve.vms)
    with pytest.raises(Exception, match=r"cannot destroy VM 7001 \(demo-cp-1\) on pve2"):
        hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert original is not None


def test_one_that_is_gone_is_gone_at_one_question_more(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.seen.clear()
    with pytest.raises(VmNotFoundError):
        hypervisor.read_vm(VM, pve_node=PVE1)
    assert [path.removeprefix("/api2/json") for _, path in lab.seen] == [
        "/nodes/pve1/qemu/7001/config",
        "/cluster/nextid",
    ]


def test_another_vm_of_that_vmid_elsewhere_is_not_it(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    hypervisor.read_vm(vm, pve_node=PVE1)
    move(lab, vm)
    lab.pve.vm(vm).config["smbios1"] = "uuid=11111111-2222-3333-4444-555555555555"
    with pytest.raises(VmNotFoundError):
        hypervisor.read_vm(vm, pve_node=PVE1)
    hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.vm(vm) is not None


def test_one_that_may_be_on_an_offline_node_is_not_gone(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    move(lab, vm)
    lab.pve.set_node_offline("pve2")
    for act in (ACTS["read"], lambda it, vmid: it.destroy(vmid, pve_node=PVE1, warn=print)):
        with pytest.raises(
            VmOutOfSightError, match="VM 7001 was on pve1, and pve2 cannot be reached: it may have moved there"
        ) as refused:
            act(hypervisor, vm)
        assert "bring pve2 back" in refused.value.resolution
    assert lab.pve.vm(vm) is not None


def test_a_free_vmid_is_free_though_a_node_is_offline(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    """Else nothing could be made while a Proxmox node is off."""
    lab.pve.set_node_offline("pve2")
    with pytest.raises(VmNotFoundError):
        hypervisor.read_vm(VM, pve_node=PVE1)


def test_a_vmid_that_the_token_may_not_see_is_not_taken_for_gone(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    lab.pve.fail(
        "GET",
        f"/nodes/pve1/qemu/{vm}/config",
        500,
        f"Configuration file 'nodes/pve1/qemu-server/{vm}.conf' does not exist",
    )
    lab.pve.acl[lab.info.token_id] = [("/nodes", {"Sys.Audit"})]
    with pytest.raises(VmOutOfSightError, match="its VMID is in use, but this token sees it on no Proxmox node"):
        hypervisor._guests.locate(vm, was_on=PVE1)


def test_one_whose_node_has_died_is_followed_where_it_came_up(lab: Lab) -> None:
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=0.2)
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    lab.pve.set_node_offline("pve1")
    with pytest.raises(TransientError, match="595"):
        hypervisor.read_vm(VM, pve_node=PVE1)
    move(lab, VM)
    assert hypervisor.read_vm(VM, pve_node=PVE1).pve_node == PVE2


def test_a_new_clone_of_a_vmid_is_where_it_was_made(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    move(lab, vm)
    hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    lab.seen.clear()
    assert hypervisor.read_vm(vm, pve_node=PVE1).pve_node == PVE1
    assert {path.split("/")[4] for _, path in lab.seen} == {"pve1"}


def test_a_marker_that_moved_is_changed_and_removed_where_it_is(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    markers = hypervisor.markers
    vmid = VMIDS.last
    markers.create(
        vmid, pve_nodes=(PVE1,), name="demo-lock", description="me", tags=(), smbios_uuid="u", resource_pool=None
    )
    seen = markers.find(vmid)
    assert seen is not None
    move(lab, vmid)
    assert not markers.rewrite(seen, name="demo-lock", description="you", tags=())
    seen = markers.find(vmid)
    assert seen is not None
    assert markers.rewrite(seen, name="demo-lock", description="you", tags=())
    seen = markers.find(vmid)
    assert seen is not None
    move(lab, vmid, "pve3")
    markers.remove(seen)
    assert lab.pve.vm(vmid) is None


def test_disks_that_no_config_names_are_never_destroyed(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    asked: list[str] = []
    resolve = lab.pve.resolve

    def noting(request: object, *args: object) -> object:
        if getattr(request, "method", "") == "DELETE":
            asked.append(str(getattr(request, "query_string", "")))
        return resolve(request, *args)

    lab.pve.resolve = noting
    hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert "destroy-unreferenced-disks=0" in asked[0]
    assert "purge=1" in asked[0]

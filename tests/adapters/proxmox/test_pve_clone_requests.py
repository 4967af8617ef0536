"""Clone requests that meet what Proxmox VE really does: placeholders, dead workers, vmids that somebody has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import DeadlineError, TaskFailedError, VmidTakenError
from bootstrap.lab.front.vms.cloning import IMAGE_THERE
from bootstrap.model.ids import ClusterName, PveNodeName, Vmid
from bootstrap.model.observed import VmRecord
from bootstrap.proxmox.failures import from_exit_status
from tests.adapters.proxmox.pve_lab import NAME, VM, VMIDS, Lab, clone_request

DEMO = ClusterName("demo")
PVE2 = PveNodeName("pve2")


@pytest.fixture
def slow(start_lab: Callable[..., Lab]) -> Lab:
    """A lab where each volume of a clone takes half a second."""
    return start_lab(guests="simulated", time_scale=0.1, delays="clone=5,clone_drive=5")


@pytest.fixture
def bare(lab: Lab) -> Lab:
    """A lab with a clone that has died before its first volume was there."""
    lab.server.faults.add("clone-dies", times=1)
    with pytest.raises(TaskFailedError, match="unexpected status"):
        lab.connect().clone(clone_request(), warn=lab.warnings.append)
    return lab


def seen(hypervisor: ProxmoxHypervisor) -> dict[int, VmRecord]:
    facts = hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    assert {vm.vmid for vm in facts.vms} <= facts.used_vmids
    return {vm.vmid: vm for vm in facts.vms}


def seen_when(lab: Lab, fits: Callable[[VmRecord], bool]) -> VmRecord:
    """The VM as it is read once it is so; a limit on the whole test ends a wait in vain."""
    while True:
        vm = seen(lab.connect()).get(VM)
        if vm is not None and fits(vm):
            return vm
        time.sleep(0.02)


def test_a_clone_that_is_only_a_lock_yet_is_taken_for_ours_and_awaited(slow: Lab) -> None:
    lost = slow.server.faults.add("answer-lost", path="/clone", times=1)
    slow.connect().clone(clone_request(), warn=slow.warnings.append)
    assert lost.hits == 1
    assert slow.requests("POST", "/clone") == 1
    assert [vm.name for vm in slow.pve.vms if not vm.template] == [NAME]
    assert "lock" not in slow.pve.vm(VM).config


def test_what_has_only_a_lock_is_seen_as_unfinished_until_it_shows_its_name(slow: Lab) -> None:
    let_one_through = slow.hold_volumes()
    hypervisor = slow.connect()
    work = threading.Thread(target=hypervisor.clone, args=(clone_request(),), kwargs={"warn": slow.warnings.append})
    work.start()
    first = seen_when(slow, lambda vm: vm.lock == "clone")
    assert (first.unfinished, first.name, first.clone_runs) == (True, f"VM {VM}", True)
    let_one_through()
    assert seen_when(slow, lambda vm: vm.name == NAME and not vm.unfinished).lock == "clone"
    let_one_through()
    work.join()
    last = seen(hypervisor)[VM]
    assert (last.unfinished, last.lock, last.name) == (False, None, NAME)


def test_a_clone_whose_worker_died_says_how_to_remove_it(bare: Lab) -> None:
    vm = seen(bare.connect())[VM]
    assert (vm.unfinished, vm.record, vm.lock, vm.clone_runs) == (True, None, "clone", False)
    privileges = "VM.Audit VM.Clone VM.Allocate Datastore.AllocateSpace SDN.Use"
    bare.grant_only(("/", privileges))
    assert seen(bare.connect())[VM].clone_runs is None, "without Sys.Audit other tokens' tasks are not seen"
    bare.server.faults.add("clone-dies", times=1)
    with pytest.raises(TaskFailedError) as raised:
        bare.connect().clone(clone_request(vmid=VM + 1), warn=bare.warnings.append)
    assert "as root on pve1: qm unlock 7002 && qm destroy 7002" in raised.value.resolution


def test_one_that_dies_while_its_answer_is_lost_is_waited_for_and_then_told(lab: Lab) -> None:
    lab.server.faults.add("clone-dies", times=1)
    lab.server.faults.add("answer-lost", path="/clone", times=1)
    hypervisor = lab.connect_to(lab.endpoint, task_timeout_s=0.5)
    with pytest.raises(DeadlineError) as raised:
        hypervisor.clone(clone_request(), warn=lab.warnings.append)
    assert "qm unlock 7001 && qm destroy 7001" in raised.value.resolution
    assert lab.requests("POST", "/clone") == 1


def test_the_vmid_of_a_dead_clone_is_taken(bare: Lab) -> None:
    with pytest.raises(VmidTakenError):
        bare.connect().clone(clone_request(), warn=bare.warnings.append)
    assert bare.requests("POST", "/clone") == 1, "asked ahead"


def test_a_vmid_of_a_vm_that_the_token_cannot_see_is_asked_ahead(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.add_node("pve2")
    lab.pve.add_vm(VM, "hidden", node="pve2")
    assert [hypervisor.is_free(vmid) for vmid in (VM, Vmid(VM + 1))] == [False, True]
    with pytest.raises(VmidTakenError, match="VM 7001 already exists"):
        hypervisor.clone(clone_request(), warn=lab.warnings.append)
    assert lab.requests("POST", "/clone") == 0


@pytest.mark.parametrize(
    ("fault", "values", "text"),
    [
        ("vmid-taken", {}, "unable to create VM 7001: config file already exists"),
        ("vmid-taken", {"on": "pve2"}, "nodes/pve1/qemu-server/7001.conf' failed: File exists"),
        ("orphan-volume", {}, "disk image '/var/lib/vz/images/7001/vm-7001-cloudinit.qcow2' already exists"),
    ],
)
def test_each_way_to_say_that_a_vmid_is_taken_is_known(
    lab: Lab, hypervisor: ProxmoxHypervisor, fault: str, values: dict[str, Any], text: str
) -> None:
    lab.pve.add_node("pve2")
    lab.server.faults.add(fault, times=1, **values)
    with pytest.raises(VmidTakenError) as raised:
        hypervisor.clone(clone_request(), warn=lab.warnings.append)
    assert text in raised.value.details
    hypervisor.clone(clone_request(vmid=VM + 1), warn=lab.warnings.append)
    assert lab.pve.vm(VM + 1).config["name"] == NAME


@pytest.mark.parametrize("kind", sorted(IMAGE_THERE))
def test_an_image_that_is_left_is_known_on_every_kind_of_storage(
    lab: Lab, hypervisor: ProxmoxHypervisor, kind: str
) -> None:
    lab.pve.storages["local"]["type"] = kind
    lab.server.faults.add("orphan-volume", times=1)
    with pytest.raises(VmidTakenError) as raised:
        hypervisor.clone(clone_request(), warn=lab.warnings.append)
    assert "pvesm free" in raised.value.resolution


@pytest.mark.parametrize(
    "text",
    [
        "unable to create CT 7001 - CT 7001 already exists on node 'pve2'",
        "close (rename) atomic file '/etc/pve/nodes/pve1/lxc/7001.conf' failed: File exists",
        "unable to create VM 7001 - rbd create 'vm-7001-disk-0' error: rbd: create error: (17) File exists",
    ],
)
def test_so_it_is_of_containers_and_of_vms_that_are_created(text: str) -> None:
    assert isinstance(from_exit_status(exit_status=text, log="", what="make it", token="u@pve!t"), VmidTakenError)


def test_what_merely_exists_already_is_no_vmid_that_is_taken() -> None:
    text = "clone failed: mkdir /mnt/shared/images: File exists"
    assert not isinstance(from_exit_status(exit_status=text, log="", what="make it", token="u@pve!t"), VmidTakenError)

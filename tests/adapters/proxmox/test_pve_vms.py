"""What happens to VMs: clone, configure, grow, power, destroy; against the lab's front over TLS."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import HypervisorError, TaskFailedError, VmidTakenError, VmNotFoundError
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, StorageName, Vmid
from tests.adapters.proxmox.pve_lab import NAME, PVE1, VM, VMIDS, Lab, clone_request

PVE2 = PveNodeName("pve2")
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5+/= me@desk"


def test_a_linked_clone_carries_name_and_description_from_its_first_request(
    lab: Lab, hypervisor: ProxmoxHypervisor
) -> None:
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    config = lab.pve.vm(VM).config
    assert config["name"] == NAME
    assert config["description"].rstrip("\n") == "who: {}\nline 2"
    assert "base-9000-disk-0" in config["scsi0"]
    assert lab.warnings == []


def test_a_full_clone_goes_to_the_storage_asked_for(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.storages["local2"] = {**lab.pve.storages["local"], "files": set(), "volumes": {}}
    hypervisor.clone(clone_request(full=True, storage=StorageName("local2")), warn=lab.warnings.append)
    assert lab.pve.vm(VM).config["scsi0"].startswith("local2:7001/vm-7001-disk-0")


def test_a_template_on_shared_storage_is_cloned_to_another_node(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab(pve_nodes=2, shared_storage=True)
    hypervisor = lab.connect()
    hypervisor.clone(clone_request(pve_node=PVE2), warn=lab.warnings.append)
    assert lab.pve.vm(VM).node == PVE2
    assert "base-9000-disk-0" in lab.pve.vm(VM).config["scsi0"]
    hypervisor.start(VM, pve_node=PVE2, warn=lab.warnings.append)
    facts = hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS)
    assert [template.pve_node for template in facts.templates] == [PVE1]
    assert facts.templates[0].storages == {"local"}


def test_one_on_local_storage_is_not(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab(pve_nodes=2)
    with pytest.raises(HypervisorError, match=r"can't clone VM to node 'pve2' \(VM uses local storage\)"):
        lab.connect().clone(clone_request(pve_node=PVE2), warn=lab.warnings.append)


def test_a_clone_joins_its_resource_pool(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.pools["k3s"] = set()
    hypervisor.clone(clone_request(resource_pool="k3s"), warn=lab.warnings.append)
    assert lab.pve.pools["k3s"] == {VM}


def test_a_vmid_in_use_is_told_as_such(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    with pytest.raises(VmidTakenError, match=r"VM 7001 \(demo-cp-2\) on pve1: .*already exists"):
        hypervisor.clone(clone_request(name=MachineName("demo-cp-2")), warn=lab.warnings.append)
    assert lab.pve.vm(vm).config["name"] == NAME


def test_a_vmid_lost_to_a_racing_clone_is_told_as_such(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    """Proxmox VE then answers 200, and it is the task that fails."""
    lab.end_next_task("qmclone", "unable to create VM 7001: config file already exists")
    with pytest.raises(VmidTakenError):
        hypervisor.clone(clone_request(), warn=lab.warnings.append)
    assert lab.requests("POST", "/clone") == 1


def test_of_clones_that_race_for_a_vmid_one_wins_and_the_others_are_told(
    lab: Lab, hypervisor: ProxmoxHypervisor
) -> None:
    def clone(number: int) -> str:
        try:
            hypervisor.clone(clone_request(name=MachineName(f"demo-{number}")), warn=lab.warnings.append)
        except VmidTakenError:
            return "taken"
        return f"demo-{number}"

    with ThreadPoolExecutor(5) as pool:
        ends = sorted(pool.map(clone, range(5)))
    assert ends[1:] == ["taken"] * 4
    assert lab.pve.vm(VM).config["name"] == ends[0]


def test_settings_arrive_and_are_read_back(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    settings: dict[str, str | int] = {
        "agent": "enabled=1",
        "balloon": 0,
        "boot": "order=scsi0",
        "ciupgrade": 0,
        "ciuser": "debian",
        "cores": 2,
        "cpu": "host",
        "description": "ours\n{}\n\n",
        "ipconfig0": "ip=198.18.0.5/16,gw=198.18.0.1",
        "memory": 2048,
        "onboot": True,
        "scsihw": "virtio-scsi-single",
        "sshkeys": f"{SSH_KEY}\n",
        "tags": "homelab-k8s;Demo;demo",
    }
    hypervisor.configure(vm, pve_node=PVE1, settings=settings)
    read = hypervisor.read_vm(vm, pve_node=PVE1)
    assert (read.cores, read.memory_mib, read.cpu_type, read.onboot) == (2, 2048, "host", True)
    assert read.tags == {"demo", "homelab-k8s"}
    assert str(read.address) == "198.18.0.5"
    assert lab.pve.vm(vm).config["sshkeys"].startswith("ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5%2B%2F%3D%20me%40desk")


def test_settings_are_removed_with_delete(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    hypervisor.configure(vm, pve_node=PVE1, settings={"delete": "ciuser"})
    assert "ciuser" not in lab.pve.vm(vm).config


def test_settings_that_proxmox_does_not_keep_are_an_error(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    class Stubborn(dict[str, object]):
        def __setitem__(self, key: str, value: object) -> None:
            super().__setitem__(key, 1 if key == "cores" else value)

    lab.pve.vm(vm).config = Stubborn(lab.pve.vm(vm).config)
    with pytest.raises(HypervisorError, match="did not keep cores") as raised:
        hypervisor.configure(vm, pve_node=PVE1, settings={"cores": 2, "memory": 1024})
    assert raised.value.details == "cores: asked for 2, found 1"


def test_a_wrong_setting_is_refused_with_its_name(hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    with pytest.raises(HypervisorError, match=r"cannot configure VM 7001 \(demo-cp-1\) on pve1") as raised:
        hypervisor.configure(vm, pve_node=PVE1, settings={"ipconfig0": "ip=198.18.0.5"})
    assert "ipconfig0: " in raised.value.details


def test_a_disk_grows_to_its_size_and_never_shrinks(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    hypervisor.grow_disk(vm, pve_node=PVE1, disk="scsi0", size_gib=10, warn=lab.warnings.append)
    assert hypervisor.read_vm(vm, pve_node=PVE1).disk_gib == 10
    hypervisor.grow_disk(vm, pve_node=PVE1, disk="scsi0", size_gib=4, warn=lab.warnings.append)
    assert hypervisor.read_vm(vm, pve_node=PVE1).disk_gib == 10


def test_a_disk_that_is_not_there_cannot_grow(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    with pytest.raises(HypervisorError, match="disk 'scsi5' does not exist"):
        hypervisor.grow_disk(vm, pve_node=PVE1, disk="scsi5", size_gib=10, warn=lab.warnings.append)


def test_power_on_and_off_may_be_asked_for_twice(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    warn = lab.warnings.append
    for _ in range(2):
        hypervisor.start(vm, pve_node=PVE1, warn=warn)
        assert hypervisor.read_vm(vm, pve_node=PVE1).running
    for _ in range(2):
        hypervisor.shutdown(vm, pve_node=PVE1, timeout_s=5, warn=warn)
        assert not hypervisor.read_vm(vm, pve_node=PVE1).running
    hypervisor.start(vm, pve_node=PVE1, warn=warn)
    for _ in range(2):
        hypervisor.stop(vm, pve_node=PVE1, warn=warn)
        assert not hypervisor.read_vm(vm, pve_node=PVE1).running
    assert lab.warnings == []


def test_a_guest_that_ignores_the_shutdown_is_switched_off(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    lab.pve.vm(vm).acpi = False
    hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    hypervisor.shutdown(vm, pve_node=PVE1, timeout_s=2, warn=lab.warnings.append)
    assert not hypervisor.read_vm(vm, pve_node=PVE1).running


def test_a_start_that_fails_tells_the_end_of_its_log(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    hypervisor.configure(vm, pve_node=PVE1, settings={"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr9"})
    with pytest.raises(TaskFailedError, match=r"cannot start VM 7001 \(demo-cp-1\) on pve1") as raised:
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert raised.value.exit_status == "bridge 'vmbr9' does not exist"
    assert "bridge 'vmbr9' does not exist" in raised.value.details


def test_destroying_takes_the_vm_and_may_be_asked_for_twice(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    for _ in range(2):
        hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)
        assert lab.pve.vm(vm) is None


def test_a_vm_that_goes_while_it_is_destroyed_is_gone(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    text = "Configuration file 'nodes/pve1/qemu-server/7001.conf' does not exist"
    lab.end_next_task("qmdestroy", text, works=True)
    hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.vm(vm) is None


def test_a_running_vm_is_not_destroyed(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    with pytest.raises(HypervisorError, match="is running - destroy failed"):
        hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.vm(vm) is not None


def test_a_vm_that_survives_its_destruction_is_an_error(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    lab.end_next_task("qmdestroy", "WARNINGS: 1", log=("WARN: volume is busy",))
    with pytest.raises(HypervisorError, match="still listed"):
        hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)


@pytest.mark.parametrize("verb", ["read_vm", "start", "stop", "shutdown", "configure", "grow_disk"])
def test_a_vm_that_is_not_there_is_told_as_such(lab: Lab, hypervisor: ProxmoxHypervisor, verb: str) -> None:
    warn = lab.warnings.append
    calls: dict[str, Callable[[], object]] = {
        "read_vm": lambda: hypervisor.read_vm(VM, pve_node=PVE1),
        "start": lambda: hypervisor.start(VM, pve_node=PVE1, warn=warn),
        "stop": lambda: hypervisor.stop(VM, pve_node=PVE1, warn=warn),
        "shutdown": lambda: hypervisor.shutdown(VM, pve_node=PVE1, timeout_s=1, warn=warn),
        "configure": lambda: hypervisor.configure(VM, pve_node=PVE1, settings={"cores": 1}),
        "grow_disk": lambda: hypervisor.grow_disk(VM, pve_node=PVE1, disk="scsi0", size_gib=9, warn=warn),
    }
    with pytest.raises(VmNotFoundError, match="VM 7001 on pve1"):
        calls[verb]()


def test_a_left_over_lock_is_told_with_the_command_that_removes_it(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    lab.pve.snapshot_lock(vm, "clone")
    assert hypervisor.read_vm(vm, pve_node=PVE1).lock == "clone"
    with pytest.raises(HypervisorError, match=r"VM is locked \(clone\)") as raised:
        hypervisor.configure(vm, pve_node=PVE1, settings={"cores": 1})
    assert "qm unlock" in raised.value.resolution
    with pytest.raises(TaskFailedError, match="cannot start") as failed:
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert "qm unlock" in failed.value.resolution


def test_notes_are_read_as_they_are_since_they_are_written_back(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    notes = "Mine.\nRebuilt with `homelab-k8s rebuild` in May."
    lab.pve.vm(vm).config["description"] = notes
    assert hypervisor.read_vm(vm, pve_node=PVE1).description == notes

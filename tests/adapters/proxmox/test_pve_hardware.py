"""Disks and devices against the lab's front, which checks each key as Proxmox VE's own schema says."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.model.cluster import ClusterSpec, MacPolicy, NetworkSpec, StaticAddresses, StorageNetwork
from bootstrap.model.hardware import DataDisk, DiskOptions, Hardware
from bootstrap.model.ids import StorageName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, MachineRecord, MachineSpec, RecordState, Role
from bootstrap.proxmox.macs import stable_mac
from bootstrap.proxmox.sent_settings import not_kept
from bootstrap.proxmox.vm_settings import vm_settings
from tests.adapters.proxmox.pve_lab import NAME, PVE1, Lab
from tests.fakes.keys import KEYS
from tests.fakes.specs import cluster

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5+/= me@desk"
MACHINE = MachineSpec(
    name=NAME,
    role=Role.CONTROL_PLANE,
    pool=CONTROL_PLANE_POOL,
    cores=2,
    memory_mib=2048,
    disk_gib=20,
    cpu_type="host",
)


def configure(hypervisor: ProxmoxHypervisor, vm: Vmid, machine: MachineSpec, spec: ClusterSpec | None = None) -> None:
    """As the step does: the disk grows, then all settings go in one request."""
    there = hypervisor.read_vm(vm, pve_node=PVE1)
    hypervisor.grow_disk(vm, pve_node=PVE1, disk="scsi0", size_gib=machine.disk_gib, warn=lambda _text: None)
    record = MachineRecord(
        cluster=cluster().name, machine=NAME, role=machine.role, pool=machine.pool, vmid=vm, state=RecordState.MADE
    )
    settings = vm_settings(
        spec or cluster(),
        machine,
        vm=there,
        record=record,
        key=KEYS.need(cluster().name),
        public_key=SSH_KEY,
        scsi_controller="virtio-scsi-pci",
    )
    hypervisor.configure(vm, pve_node=PVE1, settings=settings)


def test_the_system_disk_gets_its_options_and_keeps_its_volume_and_size(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    before = lab.pve.vm(vm).config["scsi0"].split(",")[0]
    options = DiskOptions(discard=True, ssd=True, iothread=True, cache="none")
    configure(hypervisor, vm, replace(MACHINE, hardware=Hardware(disk_options=options)))
    config = lab.pve.vm(vm).config
    volume, *parts = config["scsi0"].split(",")
    assert volume == before
    assert {"discard=on", "ssd=1", "iothread=1", "cache=none", "size=20G"} <= set(parts)
    assert config["scsihw"] == "virtio-scsi-single"
    assert hypervisor.read_vm(vm, pve_node=PVE1).disk_gib == 20


def test_a_machine_has_the_cpu_weight_of_its_pool_and_never_its_templates(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    lab.pve.vm(vm).config["cpuunits"] = 50  # as a clone inherits it
    configure(hypervisor, vm, MACHINE)
    assert "cpuunits" not in lab.pve.vm(vm).config
    configure(hypervisor, vm, replace(MACHINE, hardware=Hardware(cpu_weight=200)))
    assert lab.pve.vm(vm).config["cpuunits"] == 200


def test_a_data_disk_is_made_read_back_and_goes_with_its_vm(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    data = DataDisk(size_gib=50, storage=StorageName("local"))
    configure(hypervisor, vm, replace(MACHINE, hardware=Hardware(data_disk=data, disk_options=DiskOptions(ssd=True))))
    drive = dict(hypervisor.read_vm(vm, pve_node=PVE1).drives)["scsi1"]
    assert drive.startswith("local:7001/vm-7001-disk-1.qcow2,"), "the system disk is number 0"
    assert {"size=50G", "ssd=1"} <= set(drive.split(","))
    volume = drive.split(",")[0].partition(":")[2]
    assert volume in lab.pve.storages["local"]["volumes"]
    hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert volume not in lab.pve.storages["local"]["volumes"]


def test_a_data_disk_is_beside_the_system_disk_where_nothing_is_named(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    system = lab.pve.vm(vm).config["scsi0"].partition(":")[0]
    configure(hypervisor, vm, replace(MACHINE, hardware=Hardware(data_disk=DataDisk(size_gib=8))))
    assert lab.pve.vm(vm).config["scsi1"].startswith(f"{system}:7001/")


def test_a_device_comes_by_its_mapping_with_the_machine_type_it_needs(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    configure(hypervisor, vm, replace(MACHINE, hardware=Hardware(mappings=("gpu0", "nic1"))))
    config = lab.pve.vm(vm).config
    assert config["machine"] == "q35"
    assert config["hostpci0"] == "mapping=gpu0,pcie=1"
    assert config["hostpci1"] == "mapping=nic1,pcie=1"


def test_a_second_network_device_is_set_and_its_address_read_back(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    net = IPv4Network("10.10.0.0/24")
    static = StaticAddresses(first=net[5], last=net[9], subnet=net)
    storage = StorageNetwork(bridge="vmbr0", vlan=7, mtu=9000, addresses=static)
    spec = replace(cluster(), network=NetworkSpec(mtu=1400, macs=MacPolicy.STABLE, storage=storage))
    mac = stable_mac(spec.name, NAME)
    configure(hypervisor, vm, replace(MACHINE, mac=mac, storage_address=net[5]), spec)
    config = lab.pve.vm(vm).config
    assert {f"virtio={mac}", "bridge=vmbr0", "mtu=1400"} <= set(config["net0"].split(","))
    assert {f"virtio={stable_mac(spec.name, NAME, nic=1)}", "mtu=9000", "tag=7"} <= set(config["net1"].split(","))
    there = hypervisor.read_vm(vm, pve_node=PVE1)
    assert (there.mac, there.storage_address) == (mac, net[5])


@pytest.mark.parametrize(
    ("asked", "stored", "kept"),
    [
        ("fast:32", "fast:vm-7001-disk-1,size=32G", True),
        ("fast:32,ssd=1", "fast:vm-7001-disk-1,size=32G,ssd=1", True),
        ("fast:32,ssd=1", "fast:vm-7001-disk-1,size=32G", False),
        ("fast:32", "slow:vm-7001-disk-1,size=32G", False),
        ("fast:32", "fast:vm-7001-disk-1,size=16G", False),
        ("fast:32", None, False),
    ],
)
def test_a_new_disk_is_kept_where_it_is_on_its_storage_and_as_large(asked: str, stored: str | None, kept: bool) -> None:
    config = {} if stored is None else {"scsi1": stored}
    assert (not not_kept({"scsi1": asked}, config)) is kept

"""Disks and devices: where they go, what they take, and what is refused before anything is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.observing.privileges import rights_needed
from bootstrap.errors import CapacityError, PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.hardware import DataDisk, DiskOptions, Hardware
from bootstrap.model.ids import StorageName
from bootstrap.model.observed import Observed
from bootstrap.planning.members.desired_machines import machine_states
from bootstrap.planning.provision.allocation import Allocation
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.disks_and_devices import disk_settings, scsi_controller_wanted
from tests.fakes.seen import seen
from tests.fakes.specs import cluster, workers
from tests.fakes.world import STORAGE, TEMPLATE
from tests.unit.planning.test_texts import SERVER, VM

FAST = StorageName("fast")
DRIVE = "local:9000/base-9000-disk-0.qcow2/7000/vm-7000-disk-0.qcow2,discard=on,size=3G"


def with_pool(hardware: Hardware, *, count: int = 2) -> ClusterSpec:
    return replace(cluster(), workers=(replace(workers(count), hardware=hardware),))


def observed(*storages: tuple[str, int], template_disk: str = "scsi0", content: str = "images") -> Observed:
    """One Proxmox node with `local` of 500 GiB and further storages."""
    bare = seen()
    more = tuple(
        replace(STORAGE, name=StorageName(name), free_gib=gib, content=frozenset({content})) for name, gib in storages
    )
    facts = replace(bare.pve_nodes[0], storages=(STORAGE, *more))
    return replace(bare, pve_nodes=(facts,), templates=(replace(TEMPLATE, disk=template_disk),))


def make(spec: ClusterSpec, there: Observed) -> Allocation:
    return Allocation.of(ClusterView(spec, there), machine_states(ClusterView(spec, there)))


def test_options_are_added_to_those_of_the_template_and_win_over_them() -> None:
    vm = replace(VM, disk="scsi0", disk_gib=3, drives=(("scsi0", DRIVE),))
    machine = replace(SERVER, disk_gib=20, hardware=Hardware(disk_options=DiskOptions(discard=False, ssd=True)))
    got = disk_settings(cluster(), machine, vm)["scsi0"].split(",")
    assert got == ["local:9000/base-9000-disk-0.qcow2/7000/vm-7000-disk-0.qcow2", "discard=ignore", "size=20G", "ssd=1"]


def test_disks_are_left_alone_where_nothing_is_asked() -> None:
    vm = replace(VM, disk="scsi0", disk_gib=3, drives=(("scsi0", DRIVE),))
    assert disk_settings(cluster(), SERVER, vm) == {}


def test_a_data_disk_takes_the_first_free_slot() -> None:
    vm = replace(VM, disk="scsi0", drives=(("scsi0", DRIVE), ("scsi1", "local:7000/vm-7000-disk-1.qcow2,size=1G")))
    machine = replace(SERVER, hardware=Hardware(data_disk=DataDisk(size_gib=9, storage=FAST)))
    assert disk_settings(cluster(), machine, vm) == {"scsi2": "fast:9"}


@pytest.mark.parametrize(
    ("iothread", "controller", "wanted"),
    [
        (True, "virtio-scsi-pci", "virtio-scsi-single"),
        (True, "virtio-scsi-single", None),
        (None, "virtio-scsi-pci", None),
        (None, "", "virtio-scsi-single"),
    ],
)
def test_threads_of_disks_need_the_controller_that_has_them(
    iothread: bool | None, controller: str, wanted: str | None
) -> None:
    machine = replace(SERVER, hardware=Hardware(disk_options=DiskOptions(iothread=iothread)))
    assert scsi_controller_wanted(machine, controller) == wanted


def test_data_disks_count_with_their_whole_size() -> None:
    spec = with_pool(Hardware(data_disk=DataDisk(size_gib=100, storage=FAST)))
    assert len(make(spec, observed(("fast", 205))).placement.of) == 3
    with pytest.raises(CapacityError, match="demo-workers-2") as refused:
        make(spec, observed(("fast", 204)))
    assert "100 GiB needed on fast, 99 GiB free: 104 free, minus 5 reserve" in refused.value.details


def test_a_data_disk_on_the_storage_of_the_clones_counts_with_them() -> None:
    spec = with_pool(Hardware(data_disk=DataDisk(size_gib=300)), count=1)
    assert make(spec, observed())
    with pytest.raises(CapacityError) as refused:
        make(with_pool(Hardware(data_disk=DataDisk(size_gib=500)), count=1), observed())
    assert "504 GiB needed on local" in refused.value.details


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (observed(), "fast of pve1 does not exist"),
        (observed(("fast", 500), content="iso"), "fast of pve1 is not for disk images"),
    ],
)
def test_a_storage_that_cannot_take_data_disks_is_refused_first(there: Observed, why: str) -> None:
    with pytest.raises(PreflightError, match="no usable storage for the data disks of the pool workers") as refused:
        make(with_pool(Hardware(data_disk=DataDisk(size_gib=1, storage=FAST))), there)
    assert why in refused.value.details


@pytest.mark.parametrize(
    ("disk", "options", "wrong"),
    [("virtio0", DiskOptions(ssd=True), "ssd"), ("sata0", DiskOptions(iothread=True), "iothread")],
)
def test_options_that_the_templates_disk_cannot_have_are_refused(disk: str, options: DiskOptions, wrong: str) -> None:
    spec = with_pool(Hardware(disk_options=options))
    with pytest.raises(PreflightError, match=f"have no option {wrong}, which the pool workers wants"):
        make(spec, observed(template_disk=disk))
    assert make(spec, observed())


def test_the_token_needs_rights_for_storages_and_mappings() -> None:
    spec = with_pool(Hardware(data_disk=DataDisk(size_gib=1, storage=FAST), mappings=("gpu0",)))
    rights = rights_needed(spec, (), seen())
    assert (rights.storages, rights.mappings) == ((FAST,), ("gpu0",))

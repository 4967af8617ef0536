"""The Proxmox config keys of a machine's disks and devices, and whether its template can have them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.hardware import DiskOptions
from bootstrap.model.ids import PveNodeName, StorageName
from bootstrap.model.machine import MachineSpec, NodePool
from bootstrap.model.observed import TemplateFacts, VmRecord
from bootstrap.proxmox.reading.configs import storage_of

_SCSI_SLOTS = 31
"""scsi0 to scsi30 (pve-docs, qm.conf)."""
_IOTHREAD_CONTROLLER = "virtio-scsi-single"


def scsi_controller_wanted(machine: MachineSpec, controller: str) -> str | None:
    """The SCSI controller to set, or None where the clone's own is right.

    Proxmox ignores iothread on any other than virtio-scsi-single, and says so in a task's warnings only.
    """
    if machine.hardware.disk_options.iothread:
        return None if controller == _IOTHREAD_CONTROLLER else _IOTHREAD_CONTROLLER
    return None if controller.startswith("virtio-scsi") else _IOTHREAD_CONTROLLER


def disk_settings(spec: ClusterSpec, machine: MachineSpec, vm: VmRecord) -> dict[str, str]:
    """The options of the clone's system disk, and a new data disk.

    Args:
        spec: The cluster.
        machine: The machine.
        vm: The clone as it was before its system disk grew.
    """
    settings: dict[str, str] = {}
    drives = dict(vm.drives)
    options = _options(machine.hardware.disk_options)
    system = drives.get(vm.disk or "")
    if vm.disk is not None and system is not None and options:
        volume, *parts = system.split(",")
        kept = dict(part.partition("=")[::2] for part in parts)
        if machine.disk_gib > vm.disk_gib:
            kept["size"] = f"{machine.disk_gib}G"
        settings[vm.disk] = _drive(volume, kept | options)
    data = machine.hardware.data_disk
    if data is not None:
        # The template's disks and CD-ROMs may have slots already. A clone that is configured once more has no data disk
        # yet: it comes with the very request that says in the record that all is done.
        taken = {*drives, *vm.cdroms}
        slot = next(f"scsi{number}" for number in range(1, _SCSI_SLOTS) if f"scsi{number}" not in taken)
        storage = data_storage(spec, machine, template=storage_of(system))
        settings[slot] = _drive(f"{storage}:{data.size_gib}", options)
    return settings


def device_settings(machine: MachineSpec) -> dict[str, str]:
    """Devices passed through, as PCI Express, which only the machine type q35 has."""
    if not machine.hardware.mappings:
        return {}
    slots = {f"hostpci{slot}": f"mapping={name},pcie=1" for slot, name in enumerate(machine.hardware.mappings)}
    return {"machine": "q35", **slots}


def data_storage(spec: ClusterSpec, machine: MachineSpec | NodePool, *, template: StorageName | None) -> StorageName:
    """Where a data disk goes: where it says, else where the pool's full clones would be, else beside the system disk.

    Raises:
        PreflightError: The template's disk is on no storage, and none is named.
    """
    named = machine.hardware.data_disk.storage if machine.hardware.data_disk else None
    storage = named or machine.storage or spec.placement.storage or template
    if storage is None:
        raise PreflightError(
            f"there is no storage for the data disks of the pool {machine.name}",
            resolution="name one as data_disk: {size: ..., storage: ...} in the inventory",
        )
    return storage


def check_disk_options(spec: ClusterSpec, templates: Mapping[PveNodeName, TemplateFacts]) -> None:
    """Refuse options that the template's kind of disk cannot have: Proxmox would refuse them halfway.

    Raises:
        PreflightError: Names the template and its disk.
    """
    for pool in spec.pools:
        options = pool.hardware.disk_options
        for template in templates.values():
            bus = re.sub(r"\d+$", "", template.disk or "")
            wrong = "ssd" if options.ssd and bus == "virtio" else ""
            wrong = "iothread" if options.iothread and bus in ("ide", "sata") else wrong
            if pool.count and wrong:
                raise PreflightError(
                    f"disks of the kind {bus} have no option {wrong}, which the pool {pool.name} wants",
                    details=f"the disk of template {template.name} on {template.pve_node} is {template.disk}",
                    resolution=f"take {wrong} out of disk_options, or attach the template's disk as scsi0",
                )


def _options(options: DiskOptions) -> dict[str, str]:
    told = {
        "discard": None if options.discard is None else "on" if options.discard else "ignore",
        "ssd": None if options.ssd is None else str(int(options.ssd)),
        "iothread": None if options.iothread is None else str(int(options.iothread)),
        "cache": options.cache,
    }
    return {key: value for key, value in told.items() if value is not None}


def _drive(volume: str, options: Mapping[str, str]) -> str:
    return ",".join([volume, *(f"{key}={value}" for key, value in options.items())])

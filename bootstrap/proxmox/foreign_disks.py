"""Disks of a VM that belong to something else, such as volumes that Proxmox CSI has attached. Pure.

A volume's name has its owner's vmid: `local-lvm:vm-9999-pvc-1f2e...`, `local:9999/vm-9999-pvc-1f2e....raw`. Proxmox CSI
makes volumes for vmid 9999, which no VM has, and attaches them as scsi1 to scsi29 (sergelogvinov/proxmox-csi-plugin
v0.19: pkg/csi/controller.go, utils.go).

Proxmox VE removes the volumes that a VM owns with it, and no others; one that is detached and not owned becomes no
`unusedN` (qemu-server: PVE/QemuServer.pm, destroy_vm and vmconfig_register_unused_drive).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bootstrap.model.observed import VmRecord

_OWNER: Final = re.compile(r"(?:^|[:/])(?:vm|base|subvol|basevol)-(\d+)-[^/]*$")


@dataclass(frozen=True, kw_only=True)
class ForeignDisk:
    """A disk that a VM holds and does not own.

    Attributes:
        key: Where it is attached: `scsi1`.
        volume: `STORAGE:NAME`.
    """

    key: str
    volume: str

    def __str__(self) -> str:
        """As in `scsi1: local-lvm:vm-9999-pvc-1f2e`."""
        return f"{self.key}: {self.volume}"


def foreign_disks(vm: VmRecord) -> tuple[ForeignDisk, ...]:
    """The disks of a VM whose volumes have another owner."""
    drives = ((key, drive.split(",", 1)[0].removeprefix("file=")) for key, drive in vm.drives)
    return tuple(ForeignDisk(key=key, volume=volume) for key, volume in drives if _owner(volume) not in (None, vm.vmid))


def _owner(volume: str) -> int | None:
    """The vmid in a volume's name; None where it has none, as the host's own disks."""
    found = _OWNER.search(volume) if ":" in volume else None
    return int(found[1]) if found is not None else None

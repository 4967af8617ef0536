"""Whether what a pool says goes together with what its machines are: VMs or containers."""

from __future__ import annotations

from typing import Any, Final

from bootstrap.inventory.keys import hardware as table_hardware
from bootstrap.inventory.keys import pools as table_pools
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.containers import Field, Values
from bootstrap.model.machine import MachineKind

_VMS_ONLY: Final[tuple[tuple[Field[Any], str], ...]] = (
    (table_pools.CPU, "a container sees its Proxmox node's own CPU"),
    (table_hardware.DISK_OPTIONS, "a container has no virtual disk to set them on"),
    (table_hardware.DATA_DISK, "Proxmox formats and mounts what it gives to a container, it has no raw disks"),
    (table_hardware.DEVICES, "only root@pam may pass devices through to a container, no API token"),
)


def check_machines(control_plane: Values | None, pools: tuple[Values, ...], problems: Problems) -> None:
    """Note servers that were to be containers, and keys that their pool's kind of machine cannot have."""
    if control_plane is not None and _kind(control_plane) is MachineKind.LXC:
        message = "servers are always VMs: etcd and the API want a kernel of their own"
        problems.add(control_plane.at(table_pools.MACHINE), message, "machine: lxc is for pools of workers")
    for values in (control_plane, *pools):
        if values is not None and _kind(values) is MachineKind.VM and values.given(table_pools.OSTEMPLATE):
            where = values.at(table_pools.OSTEMPLATE)
            problems.add(where, "has no effect on VMs, which are cloned from `template`", "add machine: lxc")
    for values in pools:
        if _kind(values) is not MachineKind.LXC:
            continue
        for key, why in _VMS_ONLY:
            if values.given(key):
                problems.add(values.at(key), f"does not go with machine: lxc: {why}", "take it out, or machine: vm")


def _kind(values: Values) -> MachineKind | None:
    """What the machines are; None where the value is wrong by itself."""
    word = values.get(table_pools.MACHINE)
    return MachineKind(word) if word is not None else None

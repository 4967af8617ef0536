"""What plans and steps do about disks that a VM holds for something else. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from bootstrap.errors import PreflightError, few_lines
from bootstrap.model.observed import VmRecord
from bootstrap.model.words import count
from bootstrap.proxmox.foreign_disks import foreign_disks

if TYPE_CHECKING:
    from bootstrap.model.cluster import ClusterSpec

OPTION: Final = "--detach-disks"
WHAT_TO_DO: Final = (
    "scale down or delete what uses the volumes (`kubectl get volumeattachments` lists them), so that the disks are "
    f"detached; or pass {OPTION}: VMs are powered off and the disks detached; the disks stay on their storage"
)


def held_disks(vms: Iterable[VmRecord]) -> tuple[str, ...]:
    """A line for each disk that a VM holds and does not own: `demo-workers-1 (vmid 7001 on pve1), scsi1: ...`."""
    return tuple(f"{vm}, {disk}" for vm in vms for disk in foreign_disks(vm))


def check_detached(spec: ClusterSpec, vms: Iterable[VmRecord], *, command: str) -> None:
    """Refuse to remove all machines while one of them holds a disk that is not its own.

    They are not drained, since no machine is left for pods to move to: nothing would unmount the disks.

    Raises:
        PreflightError: With each disk, and what to do.
    """
    lines = held_disks(vms)
    if lines:
        raise PreflightError(
            f"VMs of {spec.name} hold {count(len(lines), 'disk')} of Kubernetes volumes, and `{command}` removes all "
            "machines; nothing was changed",
            details=few_lines(lines),
            resolution=WHAT_TO_DO,
        )


def notes_on_detached(vms: Iterable[VmRecord]) -> Iterator[str]:
    """A note on each disk that is detached from a VM before that is removed."""
    for line in held_disks(vms):
        yield f"{line} is detached and stays on its storage: `pvesm free` removes it there once it is not needed"

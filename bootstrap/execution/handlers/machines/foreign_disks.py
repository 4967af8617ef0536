"""Disks that a VM holds for Kubernetes volumes: waits until they are detached, and removes no VM with one of them."""

from __future__ import annotations

from collections.abc import Callable

from bootstrap.errors import DeadlineError, HypervisorError, few_lines
from bootstrap.execution.context import RunContext
from bootstrap.model.observed import VmRecord
from bootstrap.model.words import count
from bootstrap.planning.checks.foreign_disks import WHAT_TO_DO, held_disks
from bootstrap.proxmox.foreign_disks import foreign_disks
from bootstrap.waiting import NotYet

LOOK_EVERY_S = 2.0


def check_holds_none(vm: VmRecord) -> None:
    """Refuse to power off or destroy a VM that holds a disk of something else.

    Raises:
        HypervisorError: With each disk.
    """
    lines = held_disks((vm,))
    if lines:
        raise HypervisorError(
            f"{vm.name} still holds {count(len(lines), 'disk')} of Kubernetes volumes, so its VM is not removed",
            details=few_lines(lines),
            resolution=WHAT_TO_DO,
        )


def await_detached(
    read: Callable[[], VmRecord], *, detach: bool, timeout_s: float, context: RunContext
) -> tuple[str, ...]:
    """Wait until Kubernetes has detached the volumes of a drained machine.

    The kubelet unmounts them as pods end; then Kubernetes has its CSI driver detach them, seconds later.

    Args:
        read: Reads the VM.
        detach: Whether those that stay are detached later by us: then the end of the wait is no error.
        timeout_s: How long to wait at most.
        context: The run.

    Returns:
        The disks that were waited for.

    Raises:
        DeadlineError: They are still attached.
    """
    held = held_disks((read(),))
    if not held:
        return ()

    def detached() -> bool | NotYet:
        left = held_disks((read(),))
        return NotYet(f"attached: {', '.join(left)}") if left else True

    what = f"Kubernetes to detach {count(len(held), 'disk')}"
    try:
        context.wait_for(what, detached, timeout_s=timeout_s, every_s=LOOK_EVERY_S, resolution=WHAT_TO_DO)
    except DeadlineError as error:
        if not detach:
            raise
        context.warn(f"{error}; they are detached once the VM is powered off")
    return held


def detach_all(vm: VmRecord, context: RunContext) -> None:
    """Detach the disks of something else from a VM that is powered off; their volumes stay.

    Raises:
        HypervisorError: One of them is still there.
    """
    disks = foreign_disks(vm)
    if not disks:
        return
    keys = ",".join(disk.key for disk in disks)
    context.ports.hypervisor.configure(vm.vmid, pve_node=vm.pve_node, settings={"delete": keys})
    check_holds_none(context.ports.hypervisor.read_vm(vm.vmid, pve_node=vm.pve_node))
    context.warn(f"detached from {vm}, and kept: {', '.join(map(str, disks))}")

"""A guest agent that stays silent: is the VM paused?"""

from __future__ import annotations

from bootstrap.errors import HypervisorError
from bootstrap.execution.context import RunContext
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import VmRecord

LOOK_EVERY_S = 15.0
"""A machine that boots is silent too, and for each look Proxmox VE reads a config and asks QEMU."""


class PauseWatch:
    """Looks now and then, during a wait, whether the VM that is waited for is paused.

    Args:
        vm: The VM.
        context: The run.
    """

    def __init__(self, vm: VmRecord, context: RunContext) -> None:
        self._vm = vm
        self._context = context
        self._looked_s = context.ports.clock.now_s()
        self._found = ""

    def look(self, *, now_s: float) -> str:
        """That the VM is paused, as a wait's problem; empty where it is not, or nobody tells."""
        vm = self._vm
        if vm.kind is MachineKind.VM and now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            try:
                halted = self._context.ports.hypervisor.read_vm(vm.vmid, pve_node=vm.pve_node).halted
            except HypervisorError:
                halted = ""  # the wait itself meets what is wrong, and tells it
            self._found = f"VM {vm.vmid} on {vm.pve_node} is paused (QEMU says {halted})" if halted else ""
        return self._found

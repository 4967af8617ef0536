"""A machine that keeps a run waiting: is its VM paused?"""

from __future__ import annotations

import logging

from bootstrap.errors import HypervisorError
from bootstrap.execution.context import RunContext
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind

logger = logging.getLogger(__name__)


class PauseWatch:
    """Looks now and then, during a wait, whether the VM that is waited for is paused.

    Not at each poll: a machine that boots is silent too, and for each look Proxmox VE reads a config and asks QEMU.

    Args:
        name: The machine.
        context: The run.
    """

    def __init__(self, name: MachineName, context: RunContext) -> None:
        self._place = context.findings.places.get(name)
        self._context = context
        self._looked_s = context.ports.clock.now_s()
        self._found = ""

    def look(self) -> str:
        """That the VM is paused, as a wait's problem; empty where it is not, or where that is not known."""
        place, now_s = self._place, self._context.ports.clock.now_s()
        if place is None or now_s - self._looked_s < self._context.timeouts.pause_look_s:
            return self._found
        self._looked_s = now_s
        try:
            vm = self._context.ports.hypervisor.read_vm(place.vmid, pve_node=place.pve_node)
        except HypervisorError as error:
            logger.info("%s", error)  # the wait itself meets what is wrong, and reports it
            return self._found
        self._found = ""
        if vm.kind is MachineKind.VM and vm.halted:
            self._found = (
                f"VM {vm.vmid} on {vm.pve_node} is paused (QEMU says {vm.halted}); to resume it, run `up` again, or "
                f"`qm resume {vm.vmid}` there"
            )
        return self._found

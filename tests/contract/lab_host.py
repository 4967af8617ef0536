"""The lab as a host of the suite."""

from __future__ import annotations

import math

from bootstrap.lab.memory import MemoryGuests
from bootstrap.lab.server import LabServer
from tests.contract.hosts import Host


class LabHost(Host):
    """The lab, with guests that can be made deaf and mute."""

    server: LabServer
    guests: MemoryGuests

    def before_remove(self, vmid: int) -> None:
        if self.server.pve.vm(vmid) is not None:
            self.server.pve.unlock(vmid)
            self.server.pve.release_config_lock(vmid)

    def after_make(self, kind: str, vmid: int) -> None:
        if kind == "deaf":
            self.server.pve.vm(vmid).acpi = False
        if kind == "mute":
            self.guests.guests[vmid].agent_from = math.inf
        if kind == "locked":
            self.server.pve.snapshot_lock(vmid, "clone")
        if kind == "held":
            self.server.run(self.server.pve.hold_config_lock(vmid, None))
        if kind == "agent":
            self.guests.guests[vmid].programs[("uname", "-a")] = (0, "Linux\n", "")

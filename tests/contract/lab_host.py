"""The lab as a host of the suite, in each version of Proxmox VE that it plays."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.options import LabOptions
from bootstrap.lab.server import LabServer
from tests.contract.hosts import Host
from tests.contract.identities import POOL

# Proxmox's waits of 3, 10 and 60 s shortened, but long enough to be seen.
SCALE = 0.02
VM_ADMIN = (
    *("VM.Allocate", "VM.Audit", "VM.Clone", "VM.PowerMgmt", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit"),
    *("VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"),
)
LAB_VERSIONS = {8: (8, 4, 21), 9: (9, 2, 11)}
"""What the lab says it is, by its option `pve_version`."""


class LabHost(Host):
    """The lab, with guests that can be made deaf and mute."""

    server: LabServer
    guests: MemoryGuests

    def why_it_cannot(self, need: str) -> str:
        """The lab is made without HA, SDN and mappings, whatever it lists."""
        if need == "real":
            return "the lab is too quick to be met in the middle of it; tests/lab/front slows it down"
        if need == "ha":
            return "the lab's HA is tested with the lab (tests/lab)"
        return "" if need in ("no-ha", "no-sdn", "no-mapping") else super().why_it_cannot(need)

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


class Labs:
    """Labs by version, each started when it is first asked for."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._started: dict[int, LabHost] = {}

    def of_version(self, pve_version: int) -> LabHost:
        """The lab that plays this major version."""
        if pve_version not in self._started:
            self._started[pve_version] = self._start(pve_version)
        return self._started[pve_version]

    def _start(self, pve_version: int) -> LabHost:
        directory = self._directory / str(pve_version)
        directory.mkdir()
        options = LabOptions(guests="none", port=0, pve_version=pve_version, cores=2, time_scale=SCALE)
        guests = MemoryGuests()
        server = LabServer(options, driver=guests, state_dir=directory)
        info = self._stack.enter_context(server)
        host = LabHost(
            endpoint=info.endpoint,
            verify=str(directory / "lab.crt"),
            tokens={"admin": info.root_token, "norights": info.no_rights_token, "pooled": _pooled(server)},
            vmids=tuple(range(201, 240)),
            scale=SCALE,
        )
        host.server, host.guests = server, guests
        host.fill_names(pve_node="pve1", template=9000, storage="local", bridge="vmbr0")
        host.make_template()
        host.names["pool"] = POOL
        return host


def _pooled(server: LabServer) -> str:
    """A token with the rights that `Identities` gives one on a real host; the lab has no built-in roles."""
    pve, name, secret = server.pve, "pooled@pve!suite", str(uuid4())
    pve.apitokens[name] = secret
    pve.pools[POOL] = set()
    pve.grant(name, f"/pool/{POOL}", *VM_ADMIN)
    pve.grant(name, "/vms/201", "VM.Audit", "VM.Clone")
    pve.grant(name, "/storage/local", "Datastore.Audit", "Datastore.AllocateSpace")
    pve.grant(name, "/sdn/zones/localnetwork/vmbr0", "SDN.Audit", "SDN.Use")
    return f"{name}={secret}"

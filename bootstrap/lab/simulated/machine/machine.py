"""A simulated guest as its parts see it: disk, clock, faults, units."""

from __future__ import annotations

import asyncio
import hashlib
import time
from abc import ABC, abstractmethod
from ipaddress import IPv4Address

from bootstrap.lab.faults.active import Fault
from bootstrap.lab.guests.base import GuestSpec
from bootstrap.lab.guests.channels.answers import AnsweringAgent
from bootstrap.lab.simulated.disk import Disk
from bootstrap.lab.simulated.machine.units import Unit
from bootstrap.lab.simulated.machine.world import World

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
AUTHORIZED_KEYS = ".ssh/authorized_keys"
"""In the login user's home."""


class Machine(ABC):
    """A simulated guest, as its scripts, its sshd and its k3s see it.

    Args:
        vmid: VM id.
        disk: Its files, from the clone on.
        world: Parts shared by all guests.

    Attributes:
        spec: Of its last start.
        on: Whether it is powered on.
        agent: Its guest agent.
        agent_up: Whether that answers.
        cloud_init_done: Whether cloud-init has ended with this boot.
        units: Its systemd units that are simulated.
        boot_id: New at each boot.
    """

    def __init__(self, vmid: int, disk: Disk, world: World) -> None:
        self.vmid, self.disk, self.world = vmid, disk, world
        self.spec: GuestSpec | None = None
        self.on = False
        self.agent = AnsweringAgent()
        self.agent_up = self.cloud_init_done = False
        self.address: IPv4Address | None = None
        self.user = ""
        self.units: dict[str, Unit] = {}
        self.boot_id = ""

    @abstractmethod
    async def reboot(self) -> None:
        """Go down and come up again; Proxmox VE sees nothing of it, since QEMU goes on."""

    @property
    def name(self) -> str:
        """The machine's name; its vmid as text before its first start."""
        return self.spec.name if self.spec else str(self.vmid)

    @property
    def machine_id(self) -> str:
        """Made from the SMBIOS UUID, as systemd does in a KVM machine."""
        if self.struck("same-machine-id"):
            return hashlib.sha256(b"the template's own").hexdigest()[:32]
        return self.spec.smbios_uuid.replace("-", "").lower() if self.spec else ""

    @property
    def keys(self) -> frozenset[str]:
        """The public keys, type and key, that its login user's sshd accepts now."""
        path = self.disk.home(self.user) / AUTHORIZED_KEYS
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else ()
        return frozenset(" ".join(line.split()[:2]) for line in lines)

    def now(self) -> float:
        """The time by the guest's clock, in seconds since the epoch."""
        fault = self.struck("clock-wrong")
        return time.time() + (fault.number("seconds") if fault else 0.0)

    def struck(self, word: str) -> Fault | None:
        """The fault of a kind that strikes this guest now."""
        return self.world.faults.strike(word, machine=self.name, vmid=self.vmid)

    async def wait(self, name: str) -> None:
        """Wait for a delay of this kind."""
        delay_s = self.world.delays.real_s(name, self.vmid)
        if delay_s:
            await asyncio.sleep(delay_s)

"""Simulated guests: no root, no hypervisor, fast, and hundreds fit on a machine."""
# ruff: noqa: ANN401 - qemu-ga answers JSON of any shape

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from bootstrap.lab.delays import Delays
from bootstrap.lab.faults.active import Faults
from bootstrap.lab.guests.base import AgentSilentError, GuestError, GuestSpec, Interface
from bootstrap.lab.simulated.disk import BlobStore, Disk
from bootstrap.lab.simulated.embedding.program import Programs
from bootstrap.lab.simulated.embedding.standin import AGENT_THREADS, Network
from bootstrap.lab.simulated.guest import SimulatedGuest
from bootstrap.lab.simulated.jump import JumpHost
from bootstrap.lab.simulated.machine.addresses import SSH_PORT, AddressSlot
from bootstrap.lab.simulated.machine.world import World

DIRECTORY = "simulated"


class SimulatedGuests:
    """A `GuestDriver`.

    Args:
        state_dir: The lab's directory; disks go below it.
        delays: How long things take.
        faults: What goes wrong.
        jump: Whether guests are behind a jump host.

    Attributes:
        ssh_port: Where guests' sshd listens.
        jump: The jump host, from `prepare` on; None without one.
        guests: The guests by vmid.
    """

    ssh_port = SSH_PORT

    def __init__(
        self, state_dir: Path, *, delays: Delays | None = None, faults: Faults | None = None, jump: bool = False
    ) -> None:
        self._directory = state_dir.absolute() / DIRECTORY
        self._behind = jump
        self.jump: JumpHost | None = None
        self.guests: dict[int, SimulatedGuest] = {}
        self.world = World(
            delays=delays or Delays(scale=0.0),
            faults=faults or Faults(),
            slot=AddressSlot(),
            network=Network(),
            programs=Programs(),
            blobs=BlobStore(self._directory / "blobs"),
            threads=ThreadPoolExecutor(AGENT_THREADS, thread_name_prefix="k3s agents"),
        )

    @property
    def kind(self) -> str:
        """Always `simulated`."""
        return "simulated"

    @property
    def network(self) -> IPv4Network:
        """The guests' range; known after `prepare`."""
        return self.world.slot.network

    async def prepare(self) -> None:
        """Take a range of loopback addresses. Raises GuestError where none is free."""
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
        self.world.slot.take()
        if self._behind:
            self.world.network.behind = self.network
            self.jump = JumpHost(self.world.slot.jump, SSH_PORT, self._directory / "jump")
            try:
                await self.jump.open()
            except OSError as error:
                raise GuestError(f"the jump host cannot listen: {error}") from error

    async def clone(self, vmid: int) -> None:
        """See `GuestDriver.clone`."""
        if vmid not in self.guests:
            disk = Disk(self._directory / str(vmid), self.world.blobs)
            disk.make()
            self.guests[vmid] = SimulatedGuest(vmid, disk, self.world)

    async def clone_from(self, vmid: int, *, base: int, full: bool) -> None:
        """See `LayeredDriver.clone_from`: a copy that shares large files."""
        del full
        if vmid not in self.guests:
            disk = Disk(self._directory / str(vmid), self.world.blobs)
            await asyncio.to_thread(disk.make_from, self.guests[base].disk)
            self.guests[vmid] = SimulatedGuest(vmid, disk, self.world)

    async def start(self, spec: GuestSpec) -> None:
        """See `GuestDriver.start`."""
        guest = self.guests.get(spec.vmid)
        if guest is None:
            raise GuestError(f"guest {spec.vmid} has no disk")
        if not guest.on:
            await guest.power_on(spec)

    async def stop(self, vmid: int, *, graceful_s: float = 0.0) -> None:
        """See `GuestDriver.stop`; a guest always powers off, and the front adds the delay."""
        del graceful_s
        guest = self.guests.get(vmid)
        if guest is not None and guest.on:
            await guest.power_off()

    async def destroy(self, vmid: int) -> None:
        """See `GuestDriver.destroy`."""
        guest = self.guests.pop(vmid, None)
        if guest is not None:
            await guest.power_off()
            await asyncio.to_thread(guest.disk.remove)

    def running(self, vmid: int) -> bool:
        """See `GuestDriver.running`."""
        return vmid in self.guests and self.guests[vmid].on

    async def agent(self, vmid: int, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """See `GuestDriver.agent`."""
        guest = self.guests.get(vmid)
        answering = guest.answering() if guest is not None and guest.on else None
        if answering is None:
            raise AgentSilentError(f"guest {vmid} does not answer")
        return answering.answer(command, arguments)

    async def interfaces(self, vmid: int) -> tuple[Interface, ...]:
        """See `ContainerDriver.interfaces`."""
        guest = self.guests.get(vmid)
        return guest.interfaces() if guest is not None and guest.on else ()

    async def close(self) -> None:
        """See `GuestDriver.close`."""
        await asyncio.gather(*(guest.power_off() for guest in self.guests.values()))
        self.guests.clear()
        if self.jump is not None:
            await self.jump.close()
        self.world.threads.shutdown()
        self.world.slot.drop()
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

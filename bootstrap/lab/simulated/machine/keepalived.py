"""A simulated guest's keepalived: it has the VIP while its own API serves and no other guest has the address.

The guest that listens on the VIP has it, so there is never a second one, and none takes it over (`nopreempt`).
Connections to it are passed on to the guest's own API, byte by byte.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from bootstrap.lab.simulated.embedding.standin import API_PORT
from bootstrap.lab.simulated.machine import k3s
from bootstrap.lab.simulated.machine.machine import Machine
from bootstrap.lab.simulated.machine.units import Unit

NAME = "keepalived"
SETTINGS = "/etc/keepalived/keepalived.conf"
MARK = "# Written by homelab-k8s"
"""The beginning of the first line in the client's settings."""
CHECK_S = 0.2
"""Real seconds between two checks of the API, whatever the lab's time scale is."""


def unit_of(guest: Machine) -> Unit:
    """The guest's unit, created at the first installation of keepalived."""
    if NAME not in guest.units:
        scale = guest.world.delays.scale
        guest.units[NAME] = Unit(NAME, launch=lambda unit: Keepalived(guest, unit), scale=scale, clock=guest.now)
    return guest.units[NAME]


def vip_in(settings: str) -> str | None:
    """The VIP in the settings."""
    found = re.search(r"virtual_ipaddress \{\s*([\d.]+)", settings)
    return found[1] if found else None


class Keepalived:
    """One run of keepalived; a `Process`."""

    def __init__(self, guest: Machine, unit: Unit) -> None:
        self._guest, self._unit = guest, unit
        self._server: asyncio.Server | None = None

    async def run(self) -> int:
        """Watch the API, and hold the VIP when possible, until cancelled."""
        vip = vip_in(self._guest.disk.read(SETTINGS) or "")
        if vip is None:
            return 1
        self._unit.up()
        try:
            while True:
                await self._look(vip)
                await asyncio.sleep(CHECK_S)
        finally:
            self._leave(vip)

    async def _look(self, vip: str) -> None:
        try:
            api = k3s.serving(self._guest)
        except OSError:
            self._leave(vip)
            return
        if self._server is None:
            with suppress(OSError):  # another guest has it
                self._server = await asyncio.start_server(self._pass_on, vip, API_PORT)
        if self._server is not None:
            self._guest.agent.more_addresses.add(vip)
            # The agents of simulated guests need no sockets.
            self._guest.world.network.listen(vip, API_PORT, api)

    def _leave(self, vip: str) -> None:
        self._guest.agent.more_addresses.discard(vip)
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str(self._guest.address)
        if not self._guest.world.network.admits(writer.get_extra_info("peername")[0]):
            writer.transport.abort()
            return
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(address, API_PORT, local_addr=(address, 0))
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()

"""Guests in this process's memory: no root, no network, no delay but the requested one.

They test clients of the API. They have an agent with interfaces, files and programs, can be silent, power themselves
off and refuse to start; there is no login.
"""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any

from bootstrap.lab.guests.base import AgentSilentError, GuestError, GuestSpec, Interface
from bootstrap.lab.guests.channels.answers import AnsweringAgent


@dataclass(kw_only=True)
class MemoryGuest(AnsweringAgent):
    """One guest and its agent.

    Attributes:
        spec: Of its last start; None before the first.
        on: Whether it is powered on.
        agent_from: Monotonic time from which its agent answers.
    """

    spec: GuestSpec | None = None
    on: bool = False
    agent_from: float = 0.0


class MemoryGuests:
    """A `GuestDriver`.

    Args:
        boot_s: Seconds from power-on until the agent answers.

    Attributes:
        guests: The guests by VMID, for tests.
        refusals: VMID to the error of its next start.
        calls: Calls of the driver, oldest first: method and VMID.
    """

    def __init__(self, *, boot_s: float = 0.0) -> None:
        self.boot_s = boot_s
        self.guests: dict[int, MemoryGuest] = {}
        self.refusals: dict[int, str] = {}
        self.calls: list[tuple[str, int]] = []

    @property
    def kind(self) -> str:
        """`simulated`: no operating system runs in these guests."""
        return "simulated"

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def clone(self, vmid: int) -> None:
        """Make the guest."""
        self.calls.append(("clone", vmid))
        self.guests.setdefault(vmid, MemoryGuest())

    async def start(self, spec: GuestSpec) -> None:
        """Power it on; its address follows from its vmid."""
        self.calls.append(("start", spec.vmid))
        if spec.vmid in self.refusals:
            raise GuestError(self.refusals.pop(spec.vmid))
        guest = self.guests.get(spec.vmid)
        if guest is None:
            raise GuestError(f"guest {spec.vmid} has no disk")
        if guest.on:
            return
        guest.spec, guest.on, guest.mac = spec, True, spec.mac
        guest.agent_from = time.monotonic() + self.boot_s
        guest.address = f"198.18.{spec.vmid // 250 % 250}.{spec.vmid % 250 + 1}"
        guest.files["/etc/hostname"] = f"{spec.name}\n".encode()

    async def stop(self, vmid: int, *, graceful_s: float = 0.0) -> None:  # noqa: ARG002 - it always agrees at once
        """Power it off."""
        self.calls.append(("stop", vmid))
        if vmid in self.guests:
            self.guests[vmid].on = False

    async def destroy(self, vmid: int) -> None:
        """Remove it."""
        self.calls.append(("destroy", vmid))
        self.guests.pop(vmid, None)

    def running(self, vmid: int) -> bool:
        """Whether it is powered on."""
        return vmid in self.guests and self.guests[vmid].on

    async def close(self) -> None:
        """Remove all guests."""
        self.guests.clear()

    async def interfaces(self, vmid: int) -> tuple[Interface, ...]:
        """See `ContainerDriver.interfaces`; empty while a guest is off or boots."""
        guest = self.guests.get(vmid)
        if guest is None or not guest.on or time.monotonic() < guest.agent_from:
            return ()
        addresses = (IPv4Interface(f"{guest.address}/{guest.prefix}"),) if guest.address else ()
        return (Interface(name="eth0", mac=guest.mac.lower(), addresses=addresses),)

    async def agent(self, vmid: int, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Answer as qemu-ga does.

        Raises:
            AgentSilentError: The guest is off, or its agent is not up yet.
            AgentCommandError: The command failed in the guest.
        """
        await asyncio.sleep(0)
        guest = self.guests.get(vmid)
        if guest is None or not guest.on or guest.spec is None or time.monotonic() < guest.agent_from:
            raise AgentSilentError(f"guest {vmid} does not answer")
        if not guest.spec.agent_enabled:
            raise AgentSilentError(f"guest {vmid} has no channel to its agent")
        return guest.answer(command, arguments)

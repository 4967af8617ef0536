"""Guests that live in this process's memory: no root, no network, no delay but the one asked for.

For trying out and testing what talks to the API. They have an agent with interfaces, files and programs, can be
silent, power themselves off and refuse to start; nobody can log in to them.
"""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bootstrap.lab.guests.base import AgentCommandError, AgentSilentError, GuestError, GuestSpec

_OS = {
    "id": "debian", "kernel-release": "6.1.0-lab", "kernel-version": "#1 SMP", "machine": "x86_64",
    "name": "Debian GNU/Linux", "pretty-name": "Debian GNU/Linux 12 (bookworm)", "version": "12 (bookworm)",
    "version-id": "12",
}  # fmt: skip


@dataclass
class MemoryGuest:
    """One guest.

    Attributes:
        spec: What it was last started with; None before the first start.
        on: Whether it is powered on.
        agent_from: Monotonic time from which its agent answers.
        address: IPv4 address of its eth0; None: it has none yet.
        files: What `file-read` finds and `file-write` changes.
        programs: What `exec` runs: command line to exit code, standard output, standard error.
        handles: Files its agent has open: path, mode and position.
        ended: Results of programs by pid.
    """

    spec: GuestSpec | None = None
    on: bool = False
    agent_from: float = 0.0
    address: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    programs: dict[tuple[str, ...], tuple[int, str, str]] = field(default_factory=dict)
    handles: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    ended: dict[int, tuple[int, str, str]] = field(default_factory=dict)


class MemoryGuests:
    """A `GuestDriver`.

    Args:
        boot_s: Seconds from power-on until the agent answers.

    Attributes:
        guests: The guests by vmid, for tests that look into one or change it.
        refusals: vmid to the text its next start fails with.
        calls: What was asked of the driver, oldest first: method and vmid.
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
        guest.spec, guest.on = spec, True
        guest.agent_from = time.monotonic() + self.boot_s
        guest.address = f"198.18.{spec.vmid // 250 % 250}.{spec.vmid % 250 + 1}"
        guest.files["/etc/hostname"] = f"{spec.name}\n".encode()

    async def stop(self, vmid: int, *, graceful_s: float = 0.0) -> None:  # noqa: ARG002 - it always agrees at once
        """Power it off."""
        self.calls.append(("stop", vmid))
        if vmid in self.guests:
            self.guests[vmid].on = False

    async def destroy(self, vmid: int) -> None:
        """Forget it."""
        self.calls.append(("destroy", vmid))
        self.guests.pop(vmid, None)

    def running(self, vmid: int) -> bool:
        """Whether it is powered on."""
        return vmid in self.guests and self.guests[vmid].on

    async def close(self) -> None:
        """Forget all guests."""
        self.guests.clear()

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
        answer = getattr(self, "_" + command.replace("-", "_"), None)
        if answer is None:
            raise AgentCommandError(f"The command {command} has not been found")
        return answer(guest, **{key.replace("-", "_"): value for key, value in (arguments or {}).items()})

    def _guest_ping(self, _guest: MemoryGuest) -> dict[str, Any]:
        return {}

    def _guest_info(self, _guest: MemoryGuest) -> dict[str, Any]:
        names = sorted(name[1:].replace("_", "-") for name in dir(self) if name.startswith("_guest_"))
        commands = [{"name": name, "enabled": True, "success-response": True} for name in names]
        return {"version": "7.2.22", "supported_commands": commands}

    def _guest_get_osinfo(self, _guest: MemoryGuest) -> dict[str, Any]:
        return dict(_OS)

    def _guest_get_host_name(self, guest: MemoryGuest) -> dict[str, Any]:
        return {"host-name": guest.files["/etc/hostname"].decode().strip()}

    def _guest_network_get_interfaces(self, guest: MemoryGuest) -> list[dict[str, Any]]:
        loopback = {"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}
        eth0: dict[str, Any] = {"name": "eth0", "hardware-address": guest.spec.mac.lower() if guest.spec else ""}
        if guest.address:  # without an address the key is missing
            eth0["ip-addresses"] = [{"ip-address": guest.address, "ip-address-type": "ipv4", "prefix": 16}]
        return [{"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [loopback]}, eth0]

    def _guest_file_open(self, guest: MemoryGuest, path: str, mode: str = "r") -> int:
        if mode.startswith("r") and path not in guest.files:
            raise AgentCommandError(f"failed to open file '{path}' (mode: '{mode}'): No such file or directory")
        if mode.startswith("w"):
            guest.files[path] = b""
        handle = 1000 + len(guest.handles)
        guest.handles[handle] = (path, mode, 0)
        return handle

    def _guest_file_read(self, guest: MemoryGuest, handle: int, count: int = 4096) -> dict[str, Any]:
        path, mode, position = guest.handles[handle]
        part = guest.files[path][position : position + count]
        guest.handles[handle] = (path, mode, position + len(part))
        at_end = position + len(part) >= len(guest.files[path])
        return {"count": len(part), "buf-b64": base64.b64encode(part).decode(), "eof": at_end}

    def _guest_file_write(self, guest: MemoryGuest, handle: int, buf_b64: str) -> dict[str, Any]:
        path, _mode, _position = guest.handles[handle]
        guest.files[path] += base64.b64decode(buf_b64)
        return {"count": len(base64.b64decode(buf_b64)), "eof": False}

    def _guest_file_close(self, guest: MemoryGuest, handle: int) -> dict[str, Any]:
        del guest.handles[handle]
        return {}

    def _guest_exec(
        self, guest: MemoryGuest, path: str, arg: list[str], capture_output: bool = False, input_data: str = ""
    ) -> dict[str, Any]:
        command = (path, *arg)
        if command not in guest.programs:
            text = f"Failed to execute child process “{path}” (No such file or directory)"
            raise AgentCommandError(f"Guest agent command failed, error was '{text}'")
        pid = 555 + len(guest.ended)
        code, out, err = guest.programs[command]
        guest.ended[pid] = (
            (code, out + base64.b64decode(input_data).decode(), err) if capture_output else (code, "", "")
        )
        return {"pid": pid}

    def _guest_exec_status(self, guest: MemoryGuest, pid: int) -> dict[str, Any]:
        if pid not in guest.ended:
            raise AgentCommandError("Invalid parameter 'pid'")
        code, out, err = guest.ended[pid]
        result: dict[str, Any] = {"exited": True, "exitcode": code}
        for key, text in (("out-data", out), ("err-data", err)):
            if text:
                result[key] = base64.b64encode(text.encode()).decode()
        return result

"""The common base of container and QEMU guests: a directory, a cgroup, a port on the bridge, an agent.

The cgroup shows whether a guest runs, no matter which process started it; the rest is found by the VMID. So every
method can look first and act only if needed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bootstrap.lab.guests.base import AgentSilentError, GuestError, GuestSpec, LabNetwork
from bootstrap.lab.guests.channels.agent import AgentSocket
from bootstrap.lab.guests.choose import require
from bootstrap.lab.guests.host.cgroups import LabCgroups
from bootstrap.lab.guests.sweep import sweep
from bootstrap.lab.network import LabBridge, delete_link

_ENTER_CGROUP = Path(__file__).parent / "enter-cgroup.sh"

_SOCKET_PATH_MAX = 107
"""Bytes a Unix socket's path may have (unix(7))."""


class SupervisedGuests(ABC):
    """The part of `GuestDriver` that the kinds with root share.

    Args:
        state_dir: The lab's directory; guests live in a folder named after the kind.
        network: The lab's bridge. One process drives one kind of guests on a bridge.
    """

    def __init__(self, state_dir: Path, network: LabNetwork) -> None:
        self._state_dir = state_dir.absolute()
        self._network = network
        self._bridge = LabBridge(network, self._state_dir)
        self._cgroups = LabCgroups(network.bridge)
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._specs: dict[int, GuestSpec] = {}
        self._agents: dict[int, AgentSocket] = {}
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def network(self) -> LabNetwork:
        """The lab's bridge and range."""
        return self._network

    @property
    @abstractmethod
    def kind(self) -> str:
        """`container` or `qemu`."""

    @abstractmethod
    async def _make_shared(self) -> None:
        """Make the template of this kind of guests."""

    @abstractmethod
    async def _make_disk(self, directory: Path) -> None:
        """Make a guest's disk in its directory; no-op if it exists."""

    @abstractmethod
    async def _make_disk_from(self, directory: Path, base: Path, *, full: bool) -> None:
        """Make a guest's disk from the disk in another guest's directory; no-op if it exists."""

    @abstractmethod
    def _has_disk(self, directory: Path) -> bool:
        """Whether the disk exists."""

    @abstractmethod
    async def _boot(self, spec: GuestSpec, directory: Path) -> AgentSocket:
        """Start the guest; its cgroup is empty, and its port does not exist."""

    @abstractmethod
    async def _ask_to_power_off(self, vmid: int, directory: Path) -> None:
        """Ask the guest to power off, like the power button; it may not react."""

    async def prepare(self) -> None:
        """Remove a killed lab's leftovers, then make the template and the bridge."""
        require(self.kind)
        longest = self._directory(999_999_999) / "run-lab" / "qga.sock"
        if len(str(longest)) > _SOCKET_PATH_MAX:
            raise GuestError(f"the lab's directory has too long a name for sockets in it: {self._state_dir}")
        if await self._bridge.owner() != "self":
            await sweep(self._state_dir, self._network)
        await self._make_shared()
        await self._bridge.up()

    async def clone(self, vmid: int) -> None:
        """Make the guest's disk, a thin layer over the template's."""
        async with self._locks[vmid]:
            directory = self._directory(vmid)
            directory.mkdir(parents=True, exist_ok=True)
            await self._make_disk(directory)

    async def clone_from(self, vmid: int, *, base: int, full: bool) -> None:
        """Make the guest's disk from a template that was a guest; see `LayeredDriver`."""
        async with self._locks[vmid]:
            directory = self._directory(vmid)
            directory.mkdir(parents=True, exist_ok=True)
            await self._make_disk_from(directory, self._directory(base), full=full)

    async def start(self, spec: GuestSpec) -> None:
        """Boot the guest; its seed and network card are in place before its first process starts."""
        async with self._locks[spec.vmid]:
            if self.running(spec.vmid):
                return
            directory = self._directory(spec.vmid)
            if not self._has_disk(directory):
                raise GuestError(f"VM {spec.vmid} has no disk")
            await self._clear(spec.vmid)
            try:
                agent = await self._boot(spec, directory)
            except (GuestError, OSError):
                await self._clear(spec.vmid)
                raise
            self._specs[spec.vmid] = spec
            self._agents[spec.vmid] = agent

    async def stop(self, vmid: int, *, graceful_s: float = 0.0) -> None:
        """Ask the guest to power off for `graceful_s` seconds, then kill all of it."""
        async with self._locks[vmid]:
            if graceful_s > 0 and self.running(vmid):
                await self._ask_to_power_off(vmid, self._directory(vmid))
                await self._cgroups.wait_dead(str(vmid), deadline_s=graceful_s)
            await self._clear(vmid)

    async def destroy(self, vmid: int) -> None:
        """Kill the guest and remove everything of it."""
        async with self._locks[vmid]:
            await self._clear(vmid)
            self._specs.pop(vmid, None)
            self._agents.pop(vmid, None)
            directory = self._directory(vmid)
            if directory.exists():
                await asyncio.to_thread(shutil.rmtree, directory)

    def running(self, vmid: int) -> bool:
        """Whether any process of the guest lives."""
        return self._cgroups.alive(str(vmid))

    async def agent(self, vmid: int, command: str, arguments: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - see GuestDriver
        """Ask the guest's qemu-ga."""
        spec = self._specs.get(vmid)
        if spec is None or not spec.agent_enabled or not self.running(vmid):
            raise AgentSilentError(f"VM {vmid} has no guest agent to talk to")
        return await self._agents[vmid].call(command, arguments)

    async def close(self) -> None:
        """Remove all guests, the bridge, the routes and the lab's files."""
        folder = self._state_dir / self.kind
        found = [*self._cgroups.names(), *(path.name for path in folder.glob("*"))]
        await asyncio.gather(*(self.destroy(vmid) for vmid in {int(name) for name in found if name.isdigit()}))
        await self._bridge.down()
        await sweep(self._state_dir, self._network)

    def _directory(self, vmid: int) -> Path:
        return self._state_dir / self.kind / str(vmid)

    async def _spawn(
        self,
        vmid: int,
        groups: Sequence[Path],
        argv: Sequence[str],
        *,
        piped: bool = False,
        env: dict[str, str] | None = None,
    ) -> asyncio.subprocess.Process:
        """Start a guest's first process in its cgroups; its output goes to `console.log`.

        Args:
            vmid: The guest.
            groups: Its cgroups, one of each hierarchy.
            argv: Command with full path.
            piped: Whether stdin and stdout are pipes.
            env: Environment, whole; None for this process's.
        """
        with self._console(vmid).open("ab") as console:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                str(_ENTER_CGROUP),
                *map(str, groups),
                "--",
                *argv,
                stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if piped else console,
                stderr=console,
                start_new_session=True,
                env=dict(os.environ) if env is None else env,
            )
        self._processes[vmid] = process
        return process

    def _console(self, vmid: int) -> Path:
        return self._directory(vmid) / "console.log"

    async def _clear(self, vmid: int) -> None:
        """Kill the guest's processes and remove its cgroup and port; the disk stays."""
        await asyncio.to_thread(self._cgroups.remove, str(vmid))
        process = self._processes.pop(vmid, None)
        if process is not None:
            await process.wait()
        # The kernel removes a veth with its namespace, but maybe after a restart needs the name.
        await delete_link(self._bridge.port_name(vmid))

"""Container guests: real Linux without a hypervisor, for machines where none works. Needs root.

A guest is an overlay over the template's root file system, run by crun with systemd as PID 1 in
namespaces of its own. Mounts and network namespace belong to the guest's first process and vanish with
it; the one thing found by name is its cgroup, which also tells whether it is running.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bootstrap.lab.guests.agent import AgentSocket
from bootstrap.lab.guests.base import AgentSilentError, GuestError, GuestSpec, LabNetwork, NoCloudSeed
from bootstrap.lab.guests.cgroups import LabCgroups
from bootstrap.lab.guests.choose import require
from bootstrap.lab.guests.oci import render_config
from bootstrap.lab.guests.sweep import sweep
from bootstrap.lab.guests.tools import find_tool, run
from bootstrap.lab.network import LabBridge, delete_link
from bootstrap.lab.template.layers import apply_layer, make_guest_dir
from bootstrap.lab.template.root import ensure_root

_HERE = Path(__file__).parent
_SEED = "var/lib/cloud/seed/nocloud"
"""Where cloud-init finds a seed without a drive; this is where the ISO's files go."""

_POWER_OFF = signal.SIGRTMIN + 4
"""systemd(1): what asks PID 1 to power off."""


class ContainerGuests:
    """Guests that share this machine's kernel. Implements `GuestDriver`.

    Args:
        state_dir: The lab's directory; guests live below `container/` in it.
        network: The lab's bridge.
    """

    def __init__(self, state_dir: Path, network: LabNetwork) -> None:
        self._state_dir = state_dir
        self._guests = state_dir / "container"
        self._network = network
        self._bridge = LabBridge(network, state_dir)
        self._cgroups = LabCgroups(network.bridge)
        self._lower = ""
        self._specs: dict[int, GuestSpec] = {}
        self._launchers: dict[int, asyncio.subprocess.Process] = {}
        self._agents: dict[int, AgentSocket] = {}
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def kind(self) -> str:
        """Always `container`."""
        return "container"

    async def prepare(self) -> None:
        """Sweep what a killed lab left, build the template if there is none, and make the bridge."""
        require("container")
        if await self._bridge.owner() != "self":
            await sweep(self._state_dir, self._network)
        root = await asyncio.to_thread(ensure_root)
        layer = self._guests / "layer"
        await asyncio.to_thread(apply_layer, "container", root=layer)
        self._lower = f"{layer}:{root}"
        await self._bridge.up()

    async def clone(self, vmid: int) -> None:
        """Make the guest's own layer over the template."""
        async with self._locks[vmid]:
            for part in ("work", "root", "run-lab", "upper"):
                make_guest_dir(self._guests / str(vmid) / part)

    async def start(self, spec: GuestSpec) -> None:
        """Boot the guest; its seed and network card are in place before its systemd starts."""
        async with self._locks[spec.vmid]:
            if self.running(spec.vmid):
                return
            if not (self._guests / str(spec.vmid) / "upper").is_dir():
                raise GuestError(f"VM {spec.vmid} has no disk")
            await self._clear(spec.vmid)
            await self._boot(spec)

    async def stop(self, vmid: int, *, graceful_s: float = 0.0) -> None:
        """Ask systemd to power off for `graceful_s` seconds, then kill all of the guest."""
        async with self._locks[vmid]:
            if graceful_s > 0 and self.running(vmid):
                self._ask_to_power_off(vmid)
                await self._cgroups.wait_dead(str(vmid), deadline_s=graceful_s)
            await self._clear(vmid)

    async def destroy(self, vmid: int) -> None:
        """Kill the guest and remove its layer."""
        async with self._locks[vmid]:
            await self._clear(vmid)
            self._specs.pop(vmid, None)
            self._agents.pop(vmid, None)
            directory = self._guests / str(vmid)
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
        """Remove all guests, the bridge and the lab's files."""
        vmids = {int(name) for name in self._cgroups.names() if name.isdigit()}
        if self._guests.is_dir():
            vmids |= {int(path.name) for path in self._guests.iterdir() if path.name.isdigit()}
        await asyncio.gather(*(self.destroy(vmid) for vmid in vmids))
        await self._bridge.down()
        await sweep(self._state_dir, self._network)

    async def _boot(self, spec: GuestSpec) -> None:
        directory = self._guests / str(spec.vmid)
        (directory / "run-lab" / "qga.sock").unlink(missing_ok=True)
        await asyncio.to_thread(_write_seed, directory / "upper" / _SEED, spec.seed)
        (directory / "config.json").write_text(render_config(spec, directory=directory), encoding="utf-8")
        launcher = await self._launch(spec.vmid, directory)
        self._launchers[spec.vmid] = launcher
        self._specs[spec.vmid] = spec
        self._agents[spec.vmid] = AgentSocket(directory / "run-lab" / "qga.sock")
        try:
            await self._plug_in(spec, launcher)
        except GuestError:
            await self._clear(spec.vmid)
            raise

    async def _launch(self, vmid: int, directory: Path) -> asyncio.subprocess.Process:
        if not self._lower:
            raise GuestError("the lab is not prepared")
        group = await asyncio.to_thread(self._cgroups.make, str(vmid))
        with (directory / "console.log").open("ab") as console:
            return await asyncio.create_subprocess_exec(
                "/bin/sh",
                str(_HERE / "enter-cgroup.sh"),
                str(group),
                find_tool("unshare") or "unshare",
                "--net",
                "--mount",
                "--propagation=private",
                "/bin/sh",
                str(_HERE / "container.sh"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=console,
                start_new_session=True,
                env={
                    "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin",
                    "GUEST_DIR": str(directory),
                    "LOWER_DIRS": self._lower,
                },
            )

    async def _plug_in(self, spec: GuestSpec, launcher: asyncio.subprocess.Process) -> None:
        """Give the waiting launcher its network card, then let it go on."""
        stdin, stdout = launcher.stdin, launcher.stdout
        if stdin is None or stdout is None:
            raise GuestError("the launcher has no pipes")
        if await stdout.readline() != b"ready\n":
            console = self._guests / str(spec.vmid) / "console.log"
            raise GuestError(f"VM {spec.vmid} does not start: {console.read_text(errors='replace')[-2000:]}")
        port = self._bridge.port_name(spec.vmid)
        await run(
            *("ip", "link", "add", "name", port, "type", "veth"),
            *("peer", "name", "eth0", "address", spec.mac, "netns", str(launcher.pid)),
        )
        await self._bridge.attach(port)
        stdin.write(b"go\n")
        stdin.close()

    async def _clear(self, vmid: int) -> None:
        """Kill what lives of the guest and remove its cgroup and network card; the disk stays."""
        await asyncio.to_thread(self._cgroups.remove, str(vmid))
        launcher = self._launchers.pop(vmid, None)
        if launcher is not None:
            await launcher.wait()
        # The kernel removes the card with the namespace, but later than a restart may want its name.
        await delete_link(self._bridge.port_name(vmid))

    def _ask_to_power_off(self, vmid: int) -> None:
        try:
            pid = int((self._guests / str(vmid) / "pid").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return  # not that far into its boot: the deadline decides
        if pid in self._cgroups.pids(str(vmid)):
            try:
                os.kill(pid, _POWER_OFF)
            except ProcessLookupError:
                return


def _write_seed(directory: Path, seed: NoCloudSeed | None) -> None:
    """Put the seed where cloud-init looks, as Proxmox rewrites the cloud-init drive at every start."""
    shutil.rmtree(directory, ignore_errors=True)
    if seed is None:
        return
    make_guest_dir(directory)
    files = {"meta-data": seed.meta_data, "user-data": seed.user_data, "network-config": seed.network_config}
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
        (directory / name).chmod(0o600)

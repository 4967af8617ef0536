"""Container guests: real Linux without a hypervisor. Needs root.

A guest is an overlay over the template's root file system, run by crun with systemd as PID 1 in
namespaces of its own. Mounts and network namespace belong to the guest's first process and vanish with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
from ipaddress import IPv4Interface
from pathlib import Path

from bootstrap.lab.guests.base import GuestError, GuestSpec, Interface, NoCloudSeed
from bootstrap.lab.guests.channels.agent import AgentSocket
from bootstrap.lab.guests.containers.k3s_settings import k3s_settings, write_k3s_settings
from bootstrap.lab.guests.containers.oci import DATA, capabilities, render_config, write_settings
from bootstrap.lab.guests.containers.setup import set_up
from bootstrap.lab.guests.host.cgroups import LAB_CGROUP, LAUNCHER
from bootstrap.lab.guests.host.inotify import InotifyLimit
from bootstrap.lab.guests.seed import seed_files
from bootstrap.lab.guests.supervised import SupervisedGuests
from bootstrap.lab.guests.tools import run, tool_path
from bootstrap.lab.template.layers import apply_layer, make_guest_dir
from bootstrap.lab.template.root import ensure_root

logger = logging.getLogger(__name__)

_LAUNCHER = Path(__file__).parent / "container.sh"

_SEED = "upper/var/lib/cloud/seed/nocloud"
"""Where cloud-init finds a seed without a drive."""

_LOWER = "lower"
"""File in a guest's directory: the layers between its own and the lab's template, each with a colon."""

_POWER_OFF = signal.SIGRTMIN + 4
"""systemd(1): what asks PID 1 to power off."""


class ContainerGuests(SupervisedGuests):
    """Guests that share this machine's kernel. Implements `GuestDriver`."""

    _lower_dirs = ""

    @property
    def kind(self) -> str:
        """Always `container`."""
        return "container"

    async def _make_shared(self) -> None:
        root = await asyncio.to_thread(ensure_root, logger.info)
        layer = self._state_dir / self.kind / "layer"
        await asyncio.to_thread(apply_layer, "container", root=layer)
        self._lower_dirs = f"{layer}:{root}"
        raised = await asyncio.to_thread(InotifyLimit().hold, self._state_dir)
        if raised:
            logger.info("%s", raised)

    async def _make_disk(self, directory: Path) -> None:
        _make_data(directory)
        for part in ("work", "root", "run-lab", "upper"):
            make_guest_dir(directory / part)

    async def _make_disk_from(self, directory: Path, base: Path, *, full: bool) -> None:
        """A linked clone uses the template's upper layer as a lower layer; a full clone copies it."""
        if self._has_disk(directory):
            return
        lower = directory / _LOWER
        if full:
            # cp keeps overlayfs's marks: devices for removed files, extended attributes for directories.
            await run("cp", "--archive", str(base / "upper"), str(directory / "upper.new"))
        if (base / "data").is_dir() and not (directory / "data").exists():
            await run("cp", "--archive", "--reflink=auto", str(base / "data"), str(directory / "data"))
        _make_data(directory)
        lower.write_text(_lower_of(base) if full else f"{base / 'upper'}:{_lower_of(base)}", encoding="utf-8")
        for part in ("work", "root", "run-lab"):
            make_guest_dir(directory / part)
        if full:
            (directory / "upper.new").rename(directory / "upper")
        else:
            make_guest_dir(directory / "upper")

    def _has_disk(self, directory: Path) -> bool:
        return (directory / "upper").is_dir()

    async def _boot(self, spec: GuestSpec, directory: Path) -> AgentSocket:
        socket = directory / "run-lab" / "qga.sock"
        socket.unlink(missing_ok=True)
        await asyncio.to_thread(_write_seed, directory / _SEED, spec.seed)
        if spec.setup is not None:
            await set_up(directory / "upper", spec, spec.setup)
        await asyncio.to_thread(write_settings, directory)
        settings = k3s_settings(cgroups=self._cgroups.layout.version, capabilities=capabilities())
        await asyncio.to_thread(write_k3s_settings, directory / "upper", settings)
        groups = await asyncio.to_thread(self._cgroups.make_with_controllers, str(spec.vmid))
        unified, *legacy = groups
        delegated = unified.name == LAUNCHER
        hierarchies = {one.mount.name: group for one, group in zip(self._cgroups.layout.legacy, legacy, strict=True)}
        config = render_config(
            spec,
            directory=directory,
            hierarchies=tuple(hierarchies),
            cgroup=f"/{LAB_CGROUP}/{self._network.bridge}/{spec.vmid}/guest" if delegated else None,
        )
        (directory / "config.json").write_text(config, encoding="utf-8")
        launcher = await self._spawn(
            spec.vmid,
            groups,
            [
                *(tool_path("unshare"), "--net", "--mount", "--propagation=private"),
                *("/bin/sh", str(_LAUNCHER)),
            ],
            piped=True,
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "GUEST_DIR": str(directory),
                "LOWER_DIRS": f"{_lower_of(directory)}{self._lower_dirs}",
                "HIERARCHIES": " ".join(f"{name}={group}" for name, group in hierarchies.items()),
                "CGROUP_MANAGER": "cgroupfs" if delegated else "disabled",
            },
        )
        await self._plug_in(spec, launcher)
        return AgentSocket(socket)

    async def _plug_in(self, spec: GuestSpec, launcher: asyncio.subprocess.Process) -> None:
        """Give the waiting launcher its network card, then let it continue."""
        stdin, stdout = launcher.stdin, launcher.stdout
        if stdin is None or stdout is None or await stdout.readline() != b"ready\n":
            said = self._console(spec.vmid).read_text(encoding="utf-8", errors="replace")
            raise GuestError(f"VM {spec.vmid} does not start: {said[-2000:].strip()}")
        port = self._bridge.port_name(spec.vmid)
        await run(
            *("ip", "link", "add", "name", port, "type", "veth"),
            *("peer", "name", "eth0", "address", spec.mac, "netns", str(launcher.pid)),
        )
        await self._bridge.attach(port)
        stdin.write(b"go\n")
        stdin.close()

    async def interfaces(self, vmid: int) -> tuple[Interface, ...]:
        """See `ContainerDriver.interfaces`: read in the guest's network namespace."""
        pid = self._first_process(vmid)
        if pid is None:
            return ()
        try:
            rows = json.loads(await run("nsenter", "--target", str(pid), "--net", "ip", "-json", "address"))
        except GuestError:
            return ()  # it has just ended
        return tuple(
            Interface(
                name=str(row["ifname"]),
                mac=str(row.get("address", "")),
                addresses=tuple(
                    IPv4Interface(f"{one['local']}/{one['prefixlen']}")
                    for one in row.get("addr_info", ())
                    if one.get("family") == "inet" and one.get("local")
                ),
            )
            for row in rows
        )

    def _first_process(self, vmid: int) -> int | None:
        """The guest's PID 1, by its pid on this machine; None if there is none yet."""
        try:
            pid = int((self._directory(vmid) / "pid").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None
        return pid if pid in self._cgroups.pids(str(vmid)) else None

    async def _ask_to_power_off(self, vmid: int, directory: Path) -> None:  # noqa: ARG002 - the base class's contract
        pid = self._first_process(vmid)
        if pid is None:
            return  # too early in its boot: the deadline decides
        try:
            os.kill(pid, _POWER_OFF)
        except ProcessLookupError:
            return


def _lower_of(directory: Path) -> str:
    file = directory / _LOWER
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _make_data(directory: Path) -> None:
    for name in DATA:
        make_guest_dir(directory / "data" / name)


def _write_seed(directory: Path, seed: NoCloudSeed | None) -> None:
    """Write the seed for cloud-init, as Proxmox rewrites the cloud-init drive at every start."""
    shutil.rmtree(directory, ignore_errors=True)
    if seed is None:
        return
    make_guest_dir(directory)
    for name, text in seed_files(seed).items():
        (directory / name).write_text(text, encoding="utf-8")
        (directory / name).chmod(0o600)

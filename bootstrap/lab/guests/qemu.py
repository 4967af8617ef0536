"""QEMU guests: real virtual machines, started as Proxmox VE starts them. Needs root.

A linked clone is a qcow2 overlay of the template's image; cloud-init reads an IDE CD-ROM; the guest agent
is reached over QEMU's own socket. KVM is used where it works, else QEMU's emulation (`kvm.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from pathlib import Path

from bootstrap.lab.guests.base import GuestError, GuestSpec, LabNetwork
from bootstrap.lab.guests.channels.agent import AgentSocket
from bootstrap.lab.guests.channels.qmp import qmp
from bootstrap.lab.guests.host.kvm import accelerator
from bootstrap.lab.guests.seed import write_seed_iso
from bootstrap.lab.guests.supervised import SupervisedGuests
from bootstrap.lab.guests.tools import run, tool_path
from bootstrap.lab.template.image import Image, ensure_image

logger = logging.getLogger(__name__)

_TCG = "tcg,thread=multi,tb-size=128"
"""128 MiB of translated code are enough for a server, and keep a guest's QEMU below 400 MiB."""

_GIB = 1024**3


class QemuGuests(SupervisedGuests):
    """Guests with a kernel and firmware of their own. Implements `GuestDriver`."""

    def __init__(self, state_dir: Path, network: LabNetwork) -> None:
        super().__init__(state_dir, network)
        self._image: Image | None = None
        self._accelerator = "tcg"

    @property
    def kind(self) -> str:
        """Always `qemu`."""
        return "qemu"

    @property
    def accelerator(self) -> str:
        """`kvm` or `tcg`; known after `prepare`."""
        return self._accelerator

    async def _make_shared(self) -> None:
        self._image = await asyncio.to_thread(ensure_image, logger.info)
        self._accelerator = await asyncio.to_thread(accelerator, self._image)

    async def _make_disk(self, directory: Path) -> None:
        if self._image is None:
            raise GuestError("the lab is not prepared")
        await self._overlay(directory, self._image.disk)

    async def _make_disk_from(self, directory: Path, base: Path, *, full: bool) -> None:
        """A linked clone is an overlay of the template's disk; a full clone is a copy of that overlay."""
        disk, fresh = directory / "disk.qcow2", directory / "disk.new"
        if not full:
            await self._overlay(directory, base / disk.name)
        elif not disk.exists():
            await run("cp", str(base / disk.name), str(fresh))
            fresh.rename(disk)

    async def _overlay(self, directory: Path, below: Path) -> None:
        disk, fresh = directory / "disk.qcow2", directory / "disk.new"
        if not disk.exists():
            backing = ("-b", str(below), "-F", "qcow2")
            await run("qemu-img", "create", "-q", "-f", "qcow2", *backing, str(fresh))
            fresh.rename(disk)

    def _has_disk(self, directory: Path) -> bool:
        return (directory / "disk.qcow2").exists()

    async def _boot(self, spec: GuestSpec, directory: Path) -> AgentSocket:
        await _grow(directory / "disk.qcow2", spec.disk_gib)
        seed = directory / "seed.iso"
        seed.unlink(missing_ok=True)
        if spec.seed is not None:
            await asyncio.to_thread(write_seed_iso, spec.seed, seed)
        for name in ("qmp.sock", "qga.sock"):
            (directory / name).unlink(missing_ok=True)
        port = self._bridge.port_name(spec.vmid)
        await run("ip", "tuntap", "add", "dev", port, "mode", "tap")
        await self._bridge.attach(port)
        process = await self._spawn(
            spec.vmid,
            [await asyncio.to_thread(self._cgroups.make, str(spec.vmid))],
            [
                tool_path("qemu-system-x86_64"),
                *machine_options(spec, directory=directory, port=port, accel=self._accelerator),
            ],
        )
        await self._await_monitor(spec.vmid, process, directory / "qmp.sock")
        return AgentSocket(directory / "qga.sock")

    async def _await_monitor(self, vmid: int, process: asyncio.subprocess.Process, socket: Path) -> None:
        """QEMU either opens its sockets or exits with a reason, both within a moment."""
        for _ in range(500):
            if socket.exists():
                return
            if process.returncode is not None:
                break
            await asyncio.sleep(0.02)
        said = self._console(vmid).read_text(encoding="utf-8", errors="replace")
        raise GuestError(f"VM {vmid} does not start: {said[-2000:].strip()}")

    async def _ask_to_power_off(self, vmid: int, directory: Path) -> None:  # noqa: ARG002 - a container needs it
        with contextlib.suppress(GuestError):  # a QEMU that does not answer is killed after the deadline
            await qmp(directory / "qmp.sock", "system_powerdown")


def machine_options(spec: GuestSpec, *, directory: Path, port: str, accel: str) -> tuple[str, ...]:
    """QEMU's command line, after Proxmox VE's (`qm showcmd`): same bus, disk, CD-ROM and agent devices.

    Args:
        spec: The guest.
        directory: Holds its disk, seed and sockets.
        port: Tap device on the bridge.
        accel: `kvm` or `tcg`.
    """
    kvm = accel == "kvm"
    agent_port = (
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=qga0,path={directory / 'qga.sock'},server=on,wait=off"),
        *("-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"),
    )
    cd_rom = (
        *("-drive", f"file={directory / 'seed.iso'},if=none,id=cd0,format=raw,media=cdrom,readonly=on"),
        *("-device", "ide-cd,bus=ide.1,unit=0,drive=cd0"),
    )
    disk = f"file={directory / 'disk.qcow2'},if=none,id=disk0,format=qcow2,cache=unsafe,discard=on"
    return (
        *("-name", spec.name, "-uuid", spec.smbios_uuid),
        *("-machine", "pc", "-accel", "kvm" if kvm else _TCG, "-cpu", "kvm64" if kvm else "qemu64"),
        # Emulated processors beyond the first cost more than they bring.
        *("-smp", str(spec.cores) if kvm else "1", "-m", str(spec.memory_mib)),
        *("-nodefaults", "-display", "none", "-serial", f"file:{directory / 'serial.log'}"),
        *("-qmp", f"unix:{directory / 'qmp.sock'},server=on,wait=off"),
        *("-device", "virtio-scsi-pci,id=scsihw0", "-drive", disk),
        *("-device", "scsi-hd,bus=scsihw0.0,drive=disk0,bootindex=1"),
        *(cd_rom if spec.seed is not None else ()),
        *("-netdev", f"tap,id=net0,ifname={port},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=net0,mac={spec.mac},romfile="),
        *("-device", "virtio-rng-pci"),
        *(agent_port if spec.agent_enabled else ()),
    )


async def _grow(disk: Path, disk_gib: int) -> None:
    """Make the disk as large as the VM's config says; it never shrinks, as with Proxmox."""
    known = json.loads(await run("qemu-img", "info", "--output=json", str(disk)))
    if disk_gib * _GIB > known["virtual-size"]:
        await run("qemu-img", "resize", "-q", str(disk), f"{disk_gib}G")

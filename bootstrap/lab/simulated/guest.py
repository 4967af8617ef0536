"""One simulated guest: power, boot, guest agent, sshd, units."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from ipaddress import IPv4Interface

import asyncssh
import yaml

from bootstrap.lab.guests.base import GuestSpec, Interface
from bootstrap.lab.guests.channels.answers import FILES_AND_PROGRAMS, AnsweringAgent
from bootstrap.lab.simulated.disk import Disk, DiskFiles
from bootstrap.lab.simulated.machine.addresses import SSH_PORT, addresses6
from bootstrap.lab.simulated.machine.k3s import launch
from bootstrap.lab.simulated.machine.machine import AUTHORIZED_KEYS, HOST_KEY, Machine
from bootstrap.lab.simulated.machine.units import Unit
from bootstrap.lab.simulated.machine.world import World
from bootstrap.lab.simulated.sshd import Sshd

UNITS = ("k3s", "k3s-agent")
_MOVED = 65_100
"""Offset in the lab's /16 of the addresses that guests change to; not used for VMIDs."""


class SimulatedGuest(Machine):
    """A guest from clone to removal. All methods belong to the lab's event loop."""

    def __init__(self, vmid: int, disk: Disk, world: World) -> None:
        super().__init__(vmid, disk, world)
        self.units = {name: self._unit(name) for name in UNITS}
        self._sshd = Sshd(self)
        self._boot: asyncio.Task[None] | None = None

    async def power_on(self, spec: GuestSpec) -> None:
        """Switch it on; it boots by itself. Raises GuestError if its address is not available."""
        self.address = self.world.slot.of(spec)
        self.spec, self.on = spec, True
        self._boot = asyncio.create_task(self._come_up(spec), name=f"boot of {spec.name}")

    async def power_off(self) -> None:
        """Power off: processes end at once, written files stay."""
        self.on = False
        await self._go_down()

    async def reboot(self) -> None:
        """Go down and come up again; Proxmox VE sees nothing of it, since QEMU goes on."""
        await self._go_down()
        if self.on and self.spec is not None:
            self._boot = asyncio.create_task(self._come_up(self.spec), name=f"reboot of {self.spec.name}")

    async def _go_down(self) -> None:
        self.agent_up = self.cloud_init_done = False
        boot, self._boot = self._boot, None
        if boot is not None:
            boot.cancel()
            await asyncio.gather(boot, return_exceptions=True)
        await self._sshd.close()
        await asyncio.gather(*(unit.stop() for unit in self.units.values()))
        for unit in self.units.values():
            unit.left_over.are_killed()
        if self.address is not None:
            self.world.network.power(self.address, on=False)

    async def _come_up(self, spec: GuestSpec) -> None:
        address = self.address
        if address is None:
            return
        self.boot_id = str(uuid.uuid4())
        await self.wait("agent" if spec.setup is None else "container_boot")
        prefix = self.world.slot.network.prefixlen
        self.disk.write("/etc/hostname", f"{spec.name}\n")
        self.agent = AnsweringAgent(mac=spec.mac, files=DiskFiles(self.disk), prefix=prefix)
        self.agent_up = True
        await self.wait("address")
        self.agent.address = str(address)
        self.agent.addresses6 = tuple((str(each.ip), each.network.prefixlen) for each in addresses6(spec))
        self.world.network.power(address, on=True)
        host_key = self._first_boot(spec)
        await self.wait("sshd")
        if not self.struck("ssh-refused"):
            await self._sshd.listen(address, SSH_PORT, host_key)
        for unit in self.units.values():
            if unit.enabled:
                unit.start()
        if spec.setup is None:
            await self.wait("cloud_init")
            self.cloud_init_done = not self.struck("cloud-init-hangs")
        await self._suffer(host_key)

    def _first_boot(self, spec: GuestSpec) -> asyncssh.SSHKey:
        """Write what cloud-init or Proxmox VE writes before sshd starts: host key, login user and keys, names."""
        text = self.disk.read(HOST_KEY)
        key = self._new_host_key(spec) if text is None else asyncssh.import_private_key(text)
        self.disk.write(f"{HOST_KEY}.pub", key.export_public_key().decode())
        self.user, lines = _login(spec)
        if text is None:  # later boots keep it, as with cloud-init
            self._make_user(lines)
        return asyncssh.generate_private_key("ssh-ed25519") if self.struck("other-host-key") else key

    def _new_host_key(self, spec: GuestSpec) -> asyncssh.SSHKey:
        made = spec.setup.host_key if spec.setup is not None else ""
        key = asyncssh.import_private_key(made) if made else asyncssh.generate_private_key("ssh-ed25519")
        self.disk.write(HOST_KEY, key.export_private_key().decode())
        self.disk.path(HOST_KEY).chmod(0o600)
        self.disk.write("/etc/machine-id", self.machine_id + "\n")
        if spec.setup is None:  # a container sees its Proxmox node's kernel
            self.disk.write("/sys/class/dmi/id/product_uuid", spec.smbios_uuid.lower() + "\n")
        return key

    def _make_user(self, keys: list[str]) -> None:
        home = self.disk.home(self.user)
        self.disk.write(
            "/etc/passwd",
            f"root:x:0:0:root:/root:/bin/bash\n{self.user}:x:1000:1000::/home/{self.user}:/bin/bash\n",
        )
        (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        (home / AUTHORIZED_KEYS).write_text("".join(f"{line}\n" for line in keys), encoding="utf-8")

    async def _suffer(self, host_key: asyncssh.SSHKey) -> None:
        """Faults during its run."""
        moved = self.struck("address-changes")
        if moved:
            await asyncio.sleep(moved.number("after_s"))
            await self._sshd.close()
            if self.address is not None:
                self.world.network.power(self.address, on=False)
            self.address = self.world.slot.network[_MOVED + self.vmid % 400]
            self.agent.address = str(self.address)
            self.world.network.power(self.address, on=True)
            await self._sshd.listen(self.address, SSH_PORT, host_key)
        fails = self.struck("power-fails")
        if fails:
            await asyncio.sleep(fails.number("after_s"))
            self._boot = None
            await self.power_off()

    def interfaces(self) -> tuple[Interface, ...]:
        """Its network as seen from outside."""
        if self.spec is None or not self.agent.mac:
            return ()
        addresses = (IPv4Interface(f"{self.agent.address}/{self.agent.prefix}"),) if self.agent.address else ()
        return (
            Interface(name="lo", mac="00:00:00:00:00:00", addresses=(IPv4Interface("127.0.0.1/8"),)),
            Interface(name="eth0", mac=self.spec.mac.lower(), addresses=addresses),
        )

    def answering(self) -> AnsweringAgent | None:
        """The guest agent, as it answers now; None: silent."""
        if not self.agent_up or self.spec is None or not self.spec.agent_enabled or self.struck("agent-silent"):
            return None
        if self.struck("agent-forbids"):
            return replace(self.agent, forbidden=FILES_AND_PROGRAMS)
        return replace(self.agent, address=None) if self.struck("agent-no-address") else self.agent

    def _unit(self, name: str) -> Unit:
        return Unit(name, launch=lambda unit: launch(self, unit), scale=self.world.delays.scale, clock=self.now)


def _login(spec: GuestSpec) -> tuple[str, list[str]]:
    """The login user, and the lines of authorized_keys."""
    if spec.setup is not None:
        return "root", spec.setup.keys.splitlines()
    user_data = yaml.safe_load(spec.seed.user_data) if spec.seed else {}
    return _user(user_data.get("user", "debian")), [str(line) for line in user_data.get("ssh_authorized_keys") or ()]


def _user(user: object) -> str:
    """cloud-init's `user`: a name, or a mapping with a name."""
    return str(user.get("name", "debian")) if isinstance(user, dict) else str(user)

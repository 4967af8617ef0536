"""A VM and the guest in it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import VmRecord
from bootstrap.proxmox.inherited import matters
from bootstrap.records.vms.machine import record_or_problem

AUTHORIZED_KEYS = "/home/debian/.ssh/authorized_keys"
OLD_KEY = "ssh-ed25519 AAAAold homelab-k8s\n"
GUEST_FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndebian:x:1000:1000:Debian,,,:/home/debian:/bin/bash\n",
    AUTHORIZED_KEYS: OLD_KEY,
}
"""What is there after cloud-init, with the key that the machine was made with."""


@dataclass
class FakeVm:
    """A VM: its Proxmox side and the guest in it.

    Attributes:
        alone: Its k3s server runs without a kubelet (`disable-agent`).
        since_s: When its k3s process was started, by the world's clock.
        moved: By how much DHCP gives it another address than at first.
        our_clone: Whether a clone task of our own token's has made it.
        shown: Another name that somebody has given it in Proxmox VE; what runs in it does not notice.
    """

    vmid: Vmid
    name: str
    pve_node: PveNodeName
    settings: dict[str, str | int] = field(default_factory=dict)
    description: str = ""
    tags: str = ""
    running: bool = False
    halted: str = ""
    resumes: bool = True
    lock: str | None = None
    disk_gib: int = 3
    smbios_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    boots: int = 0
    asked: int = 0
    k3s_sha256: str = ""
    cleaned: bool = False
    unit: str = ""
    unit_began_s: float = 0.0
    alone: bool = False
    since_s: float = 0.0
    restarts: int = 0
    moved: int = 0
    files: dict[str, str] = field(default_factory=dict)
    guest_files: dict[str, str] = field(default_factory=lambda: dict(GUEST_FILES))
    kind: MachineKind = MachineKind.VM
    holds_vip: bool = False
    further: tuple[IPv4Address, ...] = ()
    clone_runs: bool | None = None
    disk: str | None = "scsi0"
    ha_managed: bool = False
    resource_pool: str | None = None
    our_clone: bool = False
    shown: str = ""

    @property
    def drives(self) -> tuple[str, ...]:
        """Config keys of drives that somebody has given it."""
        return tuple(sorted(key for key in self.settings if re.fullmatch(r"(scsi|virtio|sata|ide)\d+", key)))

    @property
    def mac(self) -> str:
        found = re.search(r"(?:virtio|hwaddr)=([0-9A-F:]{17}),", str(self.settings.get("net0", "")))
        return found[1] if found else "BC:24:11:00:{:02X}:{:02X}".format(*divmod(int(self.vmid) % 65536, 256))

    @property
    def address(self) -> IPv4Address:
        told = re.search(r"(?:^|,)ip=([^,]+)", str(self.settings.get("ipconfig0") or self.settings.get("net0", "")))
        static = told[1] if told else "dhcp"
        if static != "dhcp":
            return IPv4Address(static.split("/")[0])
        return IPv4Address("192.0.2.0") + int(self.vmid) % 200 + 10 + self.moved

    @property
    def ip6(self) -> str | None:
        found = re.search(r"\bip6=([^,]+)", str(self.settings.get("ipconfig0", "")))
        return found[1] if found else None

    @property
    def addresses6(self) -> tuple[IPv6Address, ...]:
        """Link-local at once, one of a prefix from the third time on that it is asked."""
        if self.ip6 is None:
            return ()
        self.asked += 1
        own = IPv6Address("fd00::") + int(self.vmid)
        return (IPv6Address("fe80::1"), own) if self.asked > 2 else (IPv6Address("fe80::1"),)

    def record(self) -> VmRecord:
        """It as Proxmox VE tells of it; whether its record is to be believed is not looked at."""
        record, problem = record_or_problem(self.description)
        return VmRecord(
            vmid=self.vmid,
            name=self.shown or self.name,
            pve_node=self.pve_node,
            running=self.running,
            halted=self.halted,
            lock=self.lock,
            tags=frozenset(self.tags.split(";")) - {""},
            record=record,
            cores=int(self.settings.get("cores", 1)),
            memory_mib=int(self.settings.get("memory", 512)),
            disk=self.disk if self.kind is MachineKind.VM else "rootfs",
            disk_gib=self.disk_gib,
            mac=self.mac,
            net0=str(self.settings.get("net0", f"virtio={self.mac},bridge=vmbr0")),
            onboot=bool(self.settings.get("onboot", 0)),
            smbios_uuid=self.smbios_uuid if self.kind is MachineKind.VM else None,
            kind=self.kind,
            ip6=self.ip6,
            cdroms=("ide2",) if self.kind is MachineKind.VM else (),
            unused=tuple((key, str(value)) for key, value in self.settings.items() if key.startswith("unused")),
            description=self.description,
            settings=tuple((key, str(value)) for key, value in self.settings.items() if matters(key, str(value))),
            unfinished=self.lock == "clone" and not self.description,
            clone_runs=self.clone_runs,
            ha_managed=self.ha_managed,
            problem=problem,
            resource_pool=self.resource_pool,
            drives=tuple((key, str(self.settings[key])) for key in self.drives),
        )

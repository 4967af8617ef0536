"""Parses Proxmox VM configs: option strings, and the spec of a guest. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from bootstrap.lab.front.configs.seed import render_seed, with_advertised
from bootstrap.lab.guests.base import ContainerSetup, GuestSpec, NoCloudSeed

DRIVE = re.compile(r"(ide[0-3]|sata[0-5]|scsi\d{1,2}|virtio\d{1,2}|efidisk0|tpmstate0)")
NET_MODEL_MAC = re.compile(r"^(?:\w[\w-]*)=([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})$")
SEED_SIZE = 4 * 1024**2  # of a cloud-init drive
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def options_of(text: str) -> dict[str, str]:
    """The `key=value` parts of an option string; a part without a key stands under an empty key."""
    found = {}
    for part in str(text).split(","):
        key, equals, value = part.partition("=")
        if equals:
            found[key] = value
        elif part:
            found.setdefault("", part)
    return found


def kept_tags(text: str, *, keep_case: bool = False) -> str:
    """Tags as Proxmox keeps them: each once, sorted, in lower case unless the datacenter's tag style keeps it."""
    tags = [tag for tag in re.split(r"[;,\s]+", text) if tag]
    return ";".join(sorted(set(tags) if keep_case else {tag.lower() for tag in tags}))


def agent_enabled(config: Mapping[str, Any]) -> bool:
    """Whether the VM's `agent` option is on: `1`, `enabled=1,fstrim_cloned_disks=1`."""
    options = options_of(str(config.get("agent", "0")))
    return options.get("enabled", options.get("", "0")) == "1"


def vcpus(config: Mapping[str, Any]) -> int:
    """How many vCPUs the VM starts with: cores times sockets."""
    return int(config.get("cores", 1)) * int(config.get("sockets", 1))


def memory_mib(config: Mapping[str, Any]) -> int:
    """The VM's memory; Proxmox's default is 512."""
    options = options_of(str(config.get("memory", 512)))
    return int(options.get("current", options.get("", "512")))


def size_bytes(text: str) -> int:
    """A size as drives have it (`3G`, `528K`) in bytes; 0 where there is none."""
    found = _SIZE.fullmatch(text)
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0


def format_size(size: int) -> str:
    """Bytes in the greatest unit that divides them, as Proxmox writes a drive's size."""
    for unit in "TGMK":
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def is_cdrom(value: str) -> bool:
    """Whether a drive is a CD-ROM, a cloud-init drive among them."""
    return "media=cdrom" in value or "cloudinit" in value.split(",")[0]


def has_cloudinit_drive(config: Mapping[str, Any]) -> bool:
    """Whether one of the drives is a cloud-init drive."""
    return any(DRIVE.fullmatch(key) and ("cloudinit" in str(value).split(",")[0]) for key, value in config.items())


def mac_of(net: str) -> str:
    """The MAC address of a `netN` value, upper-case; empty where it has none."""
    found = NET_MODEL_MAC.match(str(net).split(",")[0])
    return found[1].upper() if found else ""


def new_mac() -> str:
    """A generated MAC address, in Proxmox's own range."""
    return ":".join(["BC", "24", "11", *(f"{byte:02X}" for byte in secrets.token_bytes(3))])


def real_device(key: str, value: str) -> str:
    """Proxmox's name of a USB or PCI device that only root may pass through; empty for anything else."""
    options = options_of(value)
    host = options.get("host", options.get("", ""))
    if re.fullmatch(r"usb\d+", key) and host and host.lower() != "spice":
        return "real devices"
    if re.fullmatch(r"hostpci\d+", key) and host:
        return "non-mapped devices"
    return ""


def system_disk_gib(config: Mapping[str, Any]) -> int:
    """Size of the first disk of the boot order in GiB, rounded up; 0 where the config has no size."""
    order = options_of(str(config.get("boot", ""))).get("order", "scsi0")
    for key in [*order.split(";"), "scsi0", "virtio0"]:
        size = size_bytes(options_of(str(config.get(key, ""))).get("size", ""))
        if DRIVE.fullmatch(key) and "media=cdrom" not in str(config.get(key, "")) and size:
            return -(-size // _UNITS["G"])
    return 0


def seed_of(vmid: int, config: Mapping[str, Any], *, isos: Mapping[str, NoCloudSeed]) -> NoCloudSeed | None:
    """The seed for cloud-init: from the config for a cloud-init drive, or a NoCloud ISO in a drive; else None."""
    if has_cloudinit_drive(config):
        return render_seed(vmid, with_advertised(vmid, config))
    volumes = [str(value).split(",")[0] for key, value in sorted(config.items()) if DRIVE.fullmatch(key)]
    return next((isos[volume] for volume in volumes if volume in isos), None)


def guest_spec(
    vmid: int, name: str, config: Mapping[str, Any], *, isos: Mapping[str, NoCloudSeed] | None = None
) -> GuestSpec:
    """The spec of this VM's guest; `isos` are the NoCloud ISOs by volume."""
    return GuestSpec(
        vmid=vmid,
        name=name,
        mac=mac_of(str(config.get("net0", ""))),
        smbios_uuid=options_of(str(config.get("smbios1", ""))).get("uuid", ""),
        cores=vcpus(config),
        memory_mib=memory_mib(config),
        disk_gib=system_disk_gib(config),
        agent_enabled=agent_enabled(config),
        seed=seed_of(vmid, config, isos=isos or {}),
    )


@dataclass(frozen=True, kw_only=True)
class Made:
    """Values made once with a container.

    Attributes:
        machine_uuid: Makes the machine id; a container has no SMBIOS.
        keys: root's `authorized_keys`, as the create request had them.
        host_key: sshd's private key, made by the Proxmox node; empty where none was.
    """

    machine_uuid: str
    keys: str = ""
    host_key: str = field(default="", repr=False)


def container_spec(vmid: int, config: Mapping[str, Any], *, made: Made) -> GuestSpec:
    """The spec of a container's guest.

    Args:
        vmid: Its id.
        config: As the API shows it.
        made: What was made with it.
    """
    net0, root = options_of(str(config.get("net0", ""))), options_of(str(config.get("rootfs", "")))
    return GuestSpec(
        vmid=vmid,
        name=str(config.get("hostname") or f"CT{vmid}"),
        mac=net0.get("hwaddr", "").upper(),
        smbios_uuid=made.machine_uuid,
        cores=int(config.get("cores") or 1),
        memory_mib=int(config.get("memory") or 512),
        disk_gib=-(-size_bytes(root.get("size", "")) // _UNITS["G"]),
        agent_enabled=False,
        seed=None,
        setup=ContainerSetup(
            keys=made.keys,
            host_key=made.host_key,
            address=_interface(net0.get("ip", "")),
            gateway=_gateway(net0.get("gw", "")),
        ),
    )


def _interface(text: str) -> IPv4Interface | None:
    return IPv4Interface(text) if "/" in text else None


def _gateway(text: str) -> IPv4Address | None:
    return IPv4Address(text) if text else None

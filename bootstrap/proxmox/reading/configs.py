"""VM configs as Proxmox VE writes them, read into values. Pure.

A config is the JSON of `GET /nodes/N/qemu/VMID/config`: key to text or number, where many texts are property
strings (`local:9000/base-9000-disk-0.qcow2,size=3G`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from bootstrap.model.ids import PveNodeName, StorageName
from bootstrap.model.observed import CUSTOM_MODEL, NEVER_LINKED, TemplateFacts, VmRecord
from bootstrap.model.reading import Reading
from bootstrap.proxmox.inherited import matters
from bootstrap.proxmox.reading import answers
from bootstrap.records.vms.machine import record_or_problem
from bootstrap.records.vms.template import parse_template

Config = Mapping[str, Any]

DRIVE_KEY = re.compile(r"(?:ide[0-3]|sata[0-5]|scsi\d+|virtio\d+|efidisk0|tpmstate0)")
_SYSTEM_DISKS = ("scsi0", "virtio0", "sata0", "ide0")
_BASE_VOLUME = re.compile(r"(?:^|[:/])base(?:vol)?-\d+-[^/]*$")
_UNIT_BYTES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_GIB = 1024**3
_READ = frozenset(
    {"agent", "boot", "bootdisk", "cores", "cpu", "description", "hostname", "ipconfig0", "ipconfig1", "lock", "memory"}
    | {"name", "net0", "net1", "onboot", "rootfs", "scsihw", "smbios1", "sockets", "tags", "template"}
)
_PLACEHOLDER = "qmclone temporary file"
_HALTED = frozenset({"paused", "suspended", "io-error", "internal-error", "guest-panicked"})
"""Values of QEMU's RunState in which the guest does nothing until the user acts (qapi/run-state.json)."""


def scalars(config: Reading) -> Config:
    """A config's texts and numbers. Raises UnreadableAnswerError where it is none, or holds a text of odd form.

    What is no scalar is left out (`lxc` of a container is a list), unless it is among what is read here.
    """
    found: dict[str, Any] = {}
    for key, value in config.entries():
        if isinstance(value.value, bool | int | float):
            found[key] = value.value
        elif isinstance(value.value, str) or (not value.absent and _is_read(key)):
            found[key] = value.text()
    return found


def _is_read(key: str) -> bool:
    return key in _READ or DRIVE_KEY.fullmatch(key) is not None


def template_facts(
    readings: Reading, *, row: Reading, pve_node: PveNodeName, kinds: Mapping[str, str]
) -> TemplateFacts:
    """A template's facts from its config, its row in the VM list, and the kinds of the storages by name."""
    config = scalars(readings)
    vmid = answers.vmid(row.at("vmid"))
    disk = system_disk(config)
    drive = config.get(disk or "")
    facts = TemplateFacts(
        vmid=vmid,
        name=setting(config, "name") or row.at("name").text(""),
        pve_node=pve_node,
        tags=frozenset(tag.lower() for tag in tags(config.get("tags"))),
        agent_enabled=agent_enabled(config.get("agent")),
        disk=disk,
        disk_gib=drive_gib(drive),
        storage=storage_of(drive),
        linkable=linkable(config, kinds=kinds),
        cloud_init_drive=cloud_init_drive(config),
        bridge=properties(config.get("net0")).get("bridge"),
        scsi_controller=setting(config, "scsihw"),
        storages=frozenset(filter(None, map(storage_of, _all_drives(config).values()))),
        disk_storages=frozenset(filter(None, map(storage_of, drives(config).values()))),
        mappings=frozenset(_mappings(config)),
        cpu_model=_custom_model(config.get("cpu")),
        lock=setting(config, "lock") or row.at("lock").text(""),
        settings=inherited(config),
    )
    record = parse_template(setting(config, "description"), vmid=vmid)
    if record is None:
        return facts
    return replace(
        facts,
        image=record.image,
        k3s=record.k3s,
        recipe=record.recipe,
        recipe_version=record.version,
        packages=record.packages,
        made=record.made,
    )


def vm_record(readings: Reading, *, row: Reading, pve_node: PveNodeName) -> VmRecord:
    """A VM from its config and its row in the VM list (or its `status/current`, which has the same keys).

    Raises:
        UnreadableAnswerError: One of them is of odd form.
    """
    config = scalars(readings)
    description = setting(config, "description")
    record, problem = record_or_problem(description)
    disk, net0 = system_disk(config), config.get("net0")
    known = drives(config)
    return VmRecord(
        vmid=answers.vmid(row.at("vmid")),
        name=setting(config, "name") or row.at("name").text(""),
        pve_node=pve_node,
        running=row.at("status").value == "running",
        halted=halted(row),
        lock=setting(config, "lock") or row.at("lock").text("") or None,
        tags=tags(config.get("tags")),
        record=record,
        cores=_count(readings.at("cores")) * _count(readings.at("sockets")),
        memory_mib=memory_mib(readings.at("memory")),
        disk=disk,
        disk_gib=drive_gib(config.get(disk or "")),
        cpu_type=_first(config.get("cpu"), key="cputype"),
        mac=mac(net0),
        smbios_uuid=smbios_uuid(config),
        onboot=bool(config.get("onboot")),
        net0=None if net0 is None else str(net0),
        uptime_s=row.at("uptime").integer(0, answers.MOST_SECONDS, default=0),
        address=address(config.get("ipconfig0")),
        storage_address=address(config.get("ipconfig1")),
        ip6=properties(config.get("ipconfig0")).get("ip6"),
        drives=tuple(sorted(known.items())),
        cdroms=tuple(sorted(_all_drives(config).keys() - known.keys())),
        unused=tuple(sorted((key, str(value)) for key, value in config.items() if re.fullmatch(r"unused\d+", key))),
        description=description,
        settings=inherited(config),
        unfinished=unfinished(config),
        ha_managed=ha_managed(row),
        problem=problem,
    )


def setting(config: Config, key: str) -> str:
    """A setting as text; empty where it is not set, or to nothing."""
    return str(config.get(key) or "")


def _count(told: Reading) -> int:
    """Cores or sockets: 1 where none are told."""
    return told.integer(0, answers.MOST_CORES, default=1) or 1


def _mappings(config: Config) -> Iterator[str]:
    """Resource mappings that devices use, as PVE::QemuServer's check_mapping_access looks for them."""
    for key, value in config.items():
        kind, parts = key.rstrip("0123456789"), properties(value)
        if kind in ("usb", "hostpci") and "mapping" in parts:
            yield f"{'pci' if kind == 'hostpci' else kind}/{parts['mapping']}"
        elif kind == "virtiofs":
            yield f"dir/{_first(value, key='dirid')}"
        elif kind == "rng" and _first(value, key="source") == "/dev/hwrng":
            yield "hwrng"


def _custom_model(cpu: object) -> str:
    name = _first(cpu, key="cputype") or ""
    return name.removeprefix(CUSTOM_MODEL) if name.startswith(CUSTOM_MODEL) else ""


def unfinished(config: Config) -> bool:
    """Whether there is nothing but what Proxmox VE writes when a clone begins.

    That is a lock, and a comment that reads as the description (`PVE/API2/Qemu.pm`, clone_vm). The rest comes with the
    first drive.
    """
    description = setting(config, "description").strip()
    return config.get("lock") == "clone" and "name" not in config and description in ("", _PLACEHOLDER)


def inherited(config: Config) -> tuple[tuple[str, str], ...]:
    """The options that clones may not have."""
    return tuple(sorted((key, str(value)) for key, value in config.items() if matters(key, str(value))))


def smbios_uuid(config: Config) -> str | None:
    """The UUID in `smbios1`, lower case."""
    return (properties(config.get("smbios1")).get("uuid") or "").lower() or None


def ha_managed(row: Reading) -> bool:
    """Whether Proxmox HA manages it, from `status/current` (`ha`) or `/cluster/resources` (`hastate`)."""
    told = row.at("ha")
    if not told.absent:
        return told.at("managed").flag()
    return has_ha_state(row.at("hastate").text(""))


def has_ha_state(state: str) -> bool:
    """Whether a `hastate` is one of a guest that Proxmox HA manages."""
    return state not in ("", "ignored")


def halted(status: Reading) -> str:
    """QEMU's word for why a running VM's CPUs stand still; `qmpstatus` is in `status/current`, not in plain lists."""
    word = status.at("qmpstatus").text("")
    return word if status.at("status").value == "running" and word in _HALTED else ""


def properties(value: object) -> dict[str, str]:
    """A property string's `key=value` parts; a part without a key is under the empty one."""
    found: dict[str, str] = {}
    for part in str(value or "").split(","):
        key, equals, text = part.partition("=")
        if equals:
            found[key.strip()] = text.strip()
        elif part.strip():
            found.setdefault("", part.strip())
    return found


def _first(value: object, *, key: str) -> str | None:
    """The part that a property string allows without its key: `host,flags=+aes` as well as `cputype=host`."""
    parts = properties(value)
    return parts.get(key) or parts.get("")


def tags(value: object) -> frozenset[str]:
    """Tags of a config; an empty list is stored as a blank."""
    return frozenset(part for part in re.split(r"[;,\s]+", str(value or "")) if part)


def agent_enabled(value: object) -> bool:
    """Whether the `agent` option is on: `1`, `enabled=1,fstrim_cloned_disks=1`."""
    return (_first(value, key="enabled") or "0").lower() in ("1", "yes", "on", "true")


def memory_mib(value: Reading) -> int:
    """RAM in MiB: `2048`, or `current=2048` since 8.1; 512 where it is not set."""
    text = _first(value.text(""), key="current")
    return replace(value, value=text).integer(0, answers.MOST_MIB, default=512)


def mac(value: object) -> str | None:
    """The MAC address of a network device, `virtio=BC:24:11:00:00:01,bridge=vmbr0`, in upper case."""
    found = re.search(r"(?:^|[=,])((?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})(?:,|$)", str(value or ""))
    return found[1].upper() if found else None


def address(value: object) -> IPv4Address | None:
    """The fixed IPv4 address of an `ipconfigN`; None with DHCP."""
    try:
        return IPv4Address(properties(value).get("ip", "").partition("/")[0])
    except AddressValueError:
        return None


def drives(config: Config) -> dict[str, str]:
    """Every drive but CD-ROMs: key to property string."""
    return {
        key: drive
        for key, drive in _all_drives(config).items()
        if properties(drive).get("media") != "cdrom" and not _is_cloud_init(drive)
    }


def _all_drives(config: Config) -> dict[str, str]:
    return {key: str(value) for key, value in config.items() if DRIVE_KEY.fullmatch(key)}


def system_disk(config: Config) -> str | None:
    """The key of the disk that is booted from: the boot order's first disk, else the first of the usual ones."""
    known = drives(config)
    order = properties(config.get("boot")).get("order", "").split(";")
    candidates = (*order, setting(config, "bootdisk"), *_SYSTEM_DISKS)
    return next((key for key in candidates if key in known), None)


def volume(drive: object) -> str:
    """The volume of a drive: `local:9000/base-9000-disk-0.qcow2`."""
    return _first(drive, key="file") or ""


def storage_of(drive: object) -> StorageName | None:
    """The storage a drive is on; None for a device path."""
    name, colon, _ = volume(drive).partition(":")
    return StorageName(name) if colon and not name.startswith("/") else None


def drive_gib(drive: object) -> int:
    """A drive's size in GiB, rounded up; 0 where it has none."""
    return -(-_bytes(drive) // _GIB)


def whole_gib(drive: object) -> int:
    """A drive's size in whole GiB, rounded down: what it surely has."""
    return _bytes(drive) // _GIB


def _bytes(drive: object) -> int:
    found = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)([KMGT]?)", properties(drive).get("size", ""))
    return int(float(found[1]) * _UNIT_BYTES[found[2]]) if found else 0


def linkable(config: Config, *, kinds: Mapping[str, str]) -> bool:
    """Whether every drive can be cloned linked: base volumes, on storages that know linked clones."""
    known = drives(config)
    return bool(known) and all(
        _BASE_VOLUME.search(volume(drive)) and name is not None and kinds.get(name, "") not in NEVER_LINKED
        for drive in known.values()
        for name in (storage_of(drive),)
    )


def cloud_init_drive(config: Config) -> str | None:
    """The key of the cloud-init drive: `ide2: local:9000/vm-9000-cloudinit.qcow2,media=cdrom`."""
    return next((key for key, drive in _all_drives(config).items() if _is_cloud_init(drive)), None)


def _is_cloud_init(drive: str) -> bool:
    return re.search(r"(?:[:/-]|^)cloudinit(?:\.\w+)?$", volume(drive)) is not None

"""VMs and containers that Proxmox VE has."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.model.machine import MachineKind, MachineRecord, RecordState, Role

OWNER_TAG = "homelab-k8s"
"""The tag of all our VMs; Proxmox stores tags in lower case, sorted."""

UNCHECKED = "its record was not checked"
"""Why a VM does not count as ours before its record's seal is checked."""


@dataclass(frozen=True, kw_only=True)
class VmRecord:
    """A VM or a container Proxmox has, with the record in its description if there is one.

    Of a container `disk` is `rootfs`, and it has neither `smbios_uuid` nor `cpu_type`.

    Attributes:
        running: `status` is running (paused counts).
        halted: Why a running VM's CPUs stand still, in QEMU's word: `paused`, `suspended`, `io-error`; empty where they
            run, and where that was not asked.
        lock: Proxmox's config lock (`clone`, `backup`, ...), or None.
        mac: MAC address of net0 in upper case, or None.
        smbios_uuid: UUID in smbios1, lower case, or None.
        record: What the description says; None where there is none or it cannot be read.
        onboot: Starts with its Proxmox node (and so counts as committed there even when it is off).
        net0: The whole net0 value, such as `virtio=BC:24:11:00:00:01,bridge=vmbr0`, or None.
        uptime_s: Seconds since power-on.
        disk_gib: Size of the system disk, 0 where unknown.
        address: The fixed address in ipconfig0, or None.
        storage_address: The fixed address in ipconfig1, or None.
        ip6: What ipconfig0 says of IPv6: `auto`, `dhcp` or an address with its prefix; None for nothing.
        drives: Every drive but CD-ROMs: config key and value, such as `local:7000/vm-7000-disk-0.qcow2,size=20G`.
        kind: VM or container.
        cdroms: Config keys of its CD-ROM drives, a cloud-init drive among them.
        unused: Its unused disks, config key and volume: nothing uses them, and they take room.
        description: The whole description, with what users wrote around the record.
        settings: Options that it may have inherited and may not keep, as config keys and values.
        unfinished: Nothing of it is there but the lock of a clone: no name, no record. Its clone has just begun, or
            has died.
        clone_runs: Of an unfinished one, whether a task clones on its Proxmox node; None where that is unknown.
        ha_managed: Whether Proxmox HA starts, stops and moves it.
        problem: What of it cannot be read, such as its record; it does not count as ours then. Else empty.
        resource_pool: The Proxmox resource pool it is in, or None; read only where the inventory names one.
        doubt: Why what its description says is not to be believed, in a few words; empty where it is (see
            `records.vms.proof`), which means nothing where it has no record.
    """

    vmid: Vmid
    name: str
    pve_node: PveNodeName
    running: bool
    halted: str = ""
    lock: str | None = None
    tags: frozenset[str] = frozenset()
    record: MachineRecord | None = None
    cores: int = 0
    memory_mib: int = 0
    disk: str | None = None
    disk_gib: int = 0
    cpu_type: str | None = None
    mac: str | None = None
    smbios_uuid: str | None = None
    onboot: bool = False
    net0: str | None = None
    uptime_s: int = 0
    address: IPv4Address | None = None
    storage_address: IPv4Address | None = None
    ip6: str | None = None
    drives: tuple[tuple[str, str], ...] = ()
    kind: MachineKind = MachineKind.VM
    cdroms: tuple[str, ...] = ()
    unused: tuple[tuple[str, str], ...] = ()
    description: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    unfinished: bool = False
    clone_runs: bool | None = None
    ha_managed: bool = False
    problem: str = ""
    resource_pool: str | None = None
    doubt: str = UNCHECKED

    def __str__(self) -> str:
        """As in `demo-cp-1 (vmid 7000 on pve1)`."""
        return f"{self.name} (vmid {self.vmid} on {self.pve_node})"

    @property
    def state(self) -> RecordState | None:
        """How far it has come, by its record; None where it has none."""
        return self.record.state if self.record is not None else None

    @property
    def is_server(self) -> bool:
        """Whether its record is of a machine of the control plane."""
        return self.record is not None and self.record.role is Role.CONTROL_PLANE

    @property
    def idle(self) -> str:
        """Why its guest does nothing: `powered off`, `paused`, `paused (io-error)`; empty where it works."""
        if not self.running or not self.halted:
            return "" if self.running else "powered off"
        return "paused" if self.halted == "paused" else f"paused ({self.halted})"

    @property
    def identity(self) -> str | None:
        """What distinguishes this VM from another one with the same vmid.

        A VM's SMBIOS UUID, which Proxmox VE makes new for each. Containers have none: for them it is net0's MAC
        address, which is new as well, unless the inventory wants stable MAC addresses.
        """
        return self.smbios_uuid if self.kind is MachineKind.VM else container_identity(self.mac)


def container_identity(mac: str | None) -> str:
    """What distinguishes a container from another one with its vmid: net0's MAC address, in upper case."""
    return f"net0 {mac or 'without a MAC address'}"


def has_tag(vm: VmRecord, tag: str) -> bool:
    """Whether a VM has a tag, in upper or lower case: with `tag-style: case-sensitive=1` Proxmox VE keeps it."""
    return any(one.lower() == tag.lower() for one in vm.tags)


@dataclass(frozen=True, kw_only=True)
class UnreachableVm:
    """A VM or a container on a Proxmox node that cannot be asked; `/cluster/resources` lists it, and no more is known.

    Attributes:
        name: Empty where Proxmox VE no longer shows it: about five minutes after the node went offline (9.2, observed).
        tags: In lower case.
        why: Why the Proxmox node cannot be asked: `offline`, or what it answered.
    """

    vmid: Vmid
    name: str
    pve_node: PveNodeName
    tags: frozenset[str] = frozenset()
    kind: MachineKind = MachineKind.VM
    why: str = "offline"

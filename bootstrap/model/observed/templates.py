"""What machines are made of: VM templates, and container templates."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.model.ids import PveNodeName, StorageName, Vmid

CUSTOM_MODEL = "custom-"
"""What the name of a custom CPU model begins with where a VM has it as its CPU type."""

NEVER_LINKED = frozenset({"lvm", "iscsi", "iscsidirect"})
"""Storage kinds whose plugins have no linked clones; all others have where the volume is a base volume."""


@dataclass(frozen=True, kw_only=True)
class TemplateFacts:
    """A VM template.

    Attributes:
        disk: Config key of the system disk, such as `scsi0`; None where it has no disk.
        disk_gib: Its size, rounded up.
        storage: Where the system disk is.
        storages: Where any of its drives is, the cloud-init drive among them.
        disk_storages: Where its disks are, EFI variables and TPM state among them, the cloud-init drive not.
        mappings: Resource mappings that its devices use, such as `pci/gpu`, `usb/key`, `dir/data` or `hwrng`.
        cpu_model: The custom CPU model it has, without `custom-`; empty for Proxmox VE's own.
        settings: Options that its clones may not have, as config keys and values.
        linkable: Whether linked clones of it are possible (a base volume on a storage that can).
        cloud_init_drive: Config key of the cloud-init drive, such as `ide2`, or None.
        bridge: The bridge of net0, or None without net0.
        scsi_controller: `scsihw`, empty for Proxmox's default (an LSI controller).
        image: Name of the cloud image it was made of by us; empty for templates that others made.
        k3s: The k3s version that is baked in, empty likewise.
        recipe, recipe_version: Hash of all it was made of, and version of how; empty and 0 likewise.
        packages: Of the inventory it was built for, likewise.
        made: When its build began, in Unix seconds by the clock of who began it, likewise.
        claims: What it says it is made of where that is not signed, so that it counts for nothing.
        planned, begun: It is not there yet: this is what it will be; and an earlier run has begun to build it.
        lock: Proxmox's config lock (`backup`, ...); empty where it has none.
    """

    vmid: Vmid
    name: str
    pve_node: PveNodeName
    tags: frozenset[str]
    agent_enabled: bool
    disk: str | None
    disk_gib: int
    storage: StorageName | None
    linkable: bool
    cloud_init_drive: str | None
    bridge: str | None
    scsi_controller: str = ""
    storages: frozenset[StorageName] = frozenset()
    disk_storages: frozenset[StorageName] = frozenset()
    mappings: frozenset[str] = frozenset()
    cpu_model: str = ""
    image: str = ""
    k3s: str = ""
    recipe: str = ""
    recipe_version: int = 0
    packages: tuple[str, ...] = ()
    made: int = 0
    claims: str = ""
    planned: bool = False
    begun: bool = False
    lock: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """As in `debian-13 (vmid 9000 on pve1)`."""
        return f"{self.name} (vmid {self.vmid} on {self.pve_node})"


@dataclass(frozen=True, kw_only=True)
class OsTemplate:
    """A template that containers are made of, as one Proxmox node sees it; `volume` as in `local:vztmpl/x.tar.zst`."""

    pve_node: PveNodeName
    volume: str

    @property
    def storage(self) -> StorageName:
        """The storage it is on."""
        return StorageName(self.volume.partition(":")[0])

    @property
    def file_name(self) -> str:
        """As in `debian-13-standard_13.1-2_amd64.tar.zst`."""
        return self.volume.rpartition("/")[2]

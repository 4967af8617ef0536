"""What a token's rights on Proxmox VE are needed for, and which of them it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.model.ids import PveNodeName, StorageName, Vmid
from bootstrap.model.observed import TemplateFacts


@dataclass(frozen=True, kw_only=True)
class BuildRights:
    """What building templates needs rights for.

    Attributes:
        disks: Storages of their disks.
        files: Storages of images and ISOs.
        bridges: Their bridges.
        downloads_on: Proxmox nodes that are to download an image.
    """

    disks: tuple[StorageName, ...] = ()
    files: tuple[StorageName, ...] = ()
    bridges: tuple[str, ...] = ()
    downloads_on: tuple[PveNodeName, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RightsNeeded:
    """What a token's rights are needed for.

    Attributes:
        templates: Templates to clone; their Proxmox nodes, storages and bridges count too.
        storages: Further storages.
        bridges: Further bridges, those of devices with a VLAN tag as `vmbr0/20`.
        vnets: Bridges that are SDN vnets, as far as the token sees them.
        resource_pool: Proxmox resource pool the VMs join, or None.
        mappings: PCI resource mappings to pass through.
        cpu_models: Custom CPU models, without the `custom-` before their names.
        reads_guest_files: Whether SSH host keys are read through the guest agent.
        writes_guest_files: Whether an SSH key is added to machines through the guest agent.
        builds: What templates are built with, or None where none is.
        ostemplate_storages: Storages with templates that containers are made of.
        vmids: Of VMs and containers that are to be made.
        own_vmids: Of VMs and containers that exist.
        tags: Tags that are set.
    """

    templates: tuple[TemplateFacts, ...] = ()
    storages: tuple[StorageName, ...] = ()
    bridges: tuple[str, ...] = ()
    vnets: frozenset[str] = frozenset()
    mappings: tuple[str, ...] = ()
    resource_pool: str | None = None
    reads_guest_files: bool = True
    writes_guest_files: bool = False
    builds: BuildRights | None = None
    ostemplate_storages: tuple[StorageName, ...] = ()
    cpu_models: tuple[str, ...] = ()
    vmids: tuple[Vmid, ...] = ()
    own_vmids: tuple[Vmid, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MissingPrivileges:
    """Privileges a token lacks on a path.

    Attributes:
        remedy: Commands that fix it, a line each.
        why: What they are needed for, where the path does not show it.
    """

    path: str
    privileges: tuple[str, ...]
    remedy: str
    why: str = ""

    def __str__(self) -> str:
        """As in `/vms: VM.Clone, VM.Allocate`."""
        return f"{self.path}: {', '.join(self.privileges)}{' ' if self.why else ''}{self.why}"

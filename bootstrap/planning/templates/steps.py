"""The steps that make and remove templates. As in `steps`: frozen values that say what is to be true."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address

from bootstrap.model.ids import MachineName, PveNodeName, StorageName, Vmid
from bootstrap.planning.base_step import BaseStep
from bootstrap.records.vms.template import HASH_TAG, Recipe, TemplateRecord


def cloud_init_key(arch: str) -> str:
    """Where a CD-ROM can be: QEMU's `virt` machine of arm64 has no IDE; `arch` as k3s's releases name it."""
    return "scsi1" if arch == "arm64" else "ide2"


@dataclass(frozen=True, kw_only=True)
class TemplateBuild:
    """A template that is to be, and where.

    Attributes:
        arch: amd64 or arm64.
        disk_storage: Where its disk and its cloud-init drive go.
        image_storage: Where its image is downloaded to; None where that is on a storage already.
        iso_storage: Where our NoCloud ISO goes while it is built.
        bridge: Of its network card, the machines' unless they say otherwise.
        vlan: Its tag, or None.
        address: A fixed one while it is built, or None for DHCP.
    """

    recipe: Recipe
    pve_node: PveNodeName
    vmid: Vmid
    arch: str
    disk_storage: StorageName
    image_storage: StorageName | None
    iso_storage: StorageName
    bridge: str
    vlan: int | None = None
    address: IPv4Address | None = None

    @property
    def name(self) -> MachineName:
        """Its VM's name."""
        return MachineName(self.recipe.template_name)

    @property
    def key(self) -> MachineName:
        """Names it in a run: several Proxmox nodes may get a template of the same name."""
        return MachineName(f"template-{self.pve_node}")

    @property
    def image(self) -> str:
        """The image's volume, there already or once it is downloaded."""
        return self.recipe.image.volume or f"{self.image_storage}:import/{self.recipe.image.file_name}"

    @property
    def mac(self) -> str:
        """net0's MAC address: known before the VM is made, since the NoCloud ISO names the card by it."""
        digest = hashlib.sha256(f"{self.name}/{self.vmid}".encode()).digest()
        return ":".join(["BC", "24", "11", *(f"{byte:02X}" for byte in digest[:3])])  # Proxmox VE's own prefix

    @property
    def cd_drive(self) -> str:
        """Config key of the CD-ROM and later of the cloud-init drive."""
        return cloud_init_key(self.arch)

    @property
    def iso_name(self) -> str:
        """The NoCloud ISO's file name."""
        return f"{HASH_TAG}{self.recipe.hash}-{self.vmid}.iso"

    @property
    def iso(self) -> str:
        """The NoCloud ISO's volume."""
        return f"{self.iso_storage}:iso/{self.iso_name}"

    @property
    def settings(self) -> dict[str, str | int]:
        """The VM's config keys: hardware that cloud images expect, and that clones have until they are configured."""
        tag = f",tag={self.vlan}" if self.vlan is not None else ""
        return {
            "ostype": "l26",
            "cores": 2,
            "memory": 1024,  # MiB: enough to install packages with; machines get their own sizes
            "balloon": 0,
            "cpu": "host",  # builder and template stay on one Proxmox node; machines get a type that all nodes share
            "agent": "enabled=1",
            "scsihw": "virtio-scsi-single",
            "net0": f"virtio={self.mac},bridge={self.bridge}{tag}",
            # Cloud images talk to a serial console, and some do not boot without one.
            "serial0": "socket",
            "vga": "serial0",
            "onboot": 0,
        }


@dataclass(frozen=True, kw_only=True)
class FetchImage(BaseStep, phase="image", title="have {build.image} on {build.pve_node}"):
    """Have the image on a storage of the Proxmox node, its checksum verified where there is one."""

    build: TemplateBuild


@dataclass(frozen=True, kw_only=True)
class UploadSeed(BaseStep, phase="image", title="upload the NoCloud ISO"):
    """Have our NoCloud ISO on a storage: the user, our key, and the guest agent."""

    build: TemplateBuild


@dataclass(frozen=True, kw_only=True)
class MakeBuilder(BaseStep, phase="build", title="create the VM {build.vmid} from the image"):
    """Have the VM that is to become the template."""

    build: TemplateBuild


@dataclass(frozen=True, kw_only=True)
class StartBuilder(BaseStep, phase="boot", title="power on"):
    """Have it running."""

    build: TemplateBuild


@dataclass(frozen=True, kw_only=True)
class AwaitBuilder(BaseStep, phase="boot", title="wait for the guest"):
    """Be logged in on it, its host key pinned, and cloud-init done."""

    build: TemplateBuild


@dataclass(frozen=True, kw_only=True)
class BakeGuest(BaseStep, phase="bake"):
    """Have in it what machines need: k3s, its images, keepalived, settings, packages; and boot trimmed."""

    build: TemplateBuild

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        return f"install {', '.join([f'k3s {self.build.recipe.k3s}', *self.build.recipe.packages])}"


@dataclass(frozen=True, kw_only=True)
class CleanGuest(BaseStep, phase="clean", title="clean it and power off"):
    """Have it without keys, identity and logs, and powered off."""

    build: TemplateBuild


@dataclass(frozen=True, kw_only=True)
class SealTemplate(BaseStep, phase="convert", title="convert to a template"):
    """Have a cloud-init drive in place of our ISO, and the VM converted to a template."""

    build: TemplateBuild


@dataclass(frozen=True, kw_only=True)
class RemoveIsos(BaseStep, phase="tidy"):
    """Have some of our NoCloud ISOs gone.

    Attributes:
        isos: Proxmox node and volume of each.
        reports: Warn of ISOs that the token may not remove; they hold no secret, so once is enough.
    """

    isos: tuple[tuple[PveNodeName, str], ...]
    reports: bool

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        return f"remove {', '.join(volume for _, volume in self.isos)}"


@dataclass(frozen=True, kw_only=True)
class RemoveTemplate(BaseStep, phase="tidy", title="remove {name} ({vmid})"):
    """Have one of our templates gone that has no linked clone, or what a dead build left."""

    vmid: Vmid
    pve_node: PveNodeName
    name: str
    recipe: str


@dataclass(frozen=True, kw_only=True)
class AdoptTemplate(BaseStep, phase="adopt", title="sign the record of {name} ({vmid})"):
    """Have the record of a template signed that was foreign, as the user has seen it."""

    vmid: Vmid
    pve_node: PveNodeName
    name: str
    smbios_uuid: str
    record: TemplateRecord


TemplateStep = (
    AdoptTemplate
    | FetchImage
    | UploadSeed
    | MakeBuilder
    | StartBuilder
    | AwaitBuilder
    | BakeGuest
    | CleanGuest
    | SealTemplate
    | RemoveIsos
    | RemoveTemplate
)

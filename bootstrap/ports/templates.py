"""What the library needs of Proxmox VE, and of the images' publishers, to make templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from typing import Protocol

from bootstrap.model.ids import PveNodeName, StorageName, Vmid
from bootstrap.ports.proxmox import Warn
from bootstrap.records.vms.template import CloudImage, TemplateVm


@dataclass(frozen=True, kw_only=True)
class BuilderRequest:
    """A VM that is to become a template.

    Attributes:
        image: Volume that its disk is made of: `local:import/debian.qcow2`.
        storage: Where its disk goes.
        seed: Volume of the NoCloud ISO in its CD-ROM drive.
        cd_drive: Config key of that drive, such as `ide2`.
        description: Goes in with the request itself, so that the VM is known as ours from its first instant.
        smbios_uuid: Its SMBIOS UUID: known before it is made, so that its record can be signed for it.
        settings: Further config keys.
    """

    vmid: Vmid
    pve_node: PveNodeName
    name: str
    description: str
    tags: tuple[str, ...]
    image: str
    storage: StorageName
    seed: str
    cd_drive: str
    smbios_uuid: str
    settings: Mapping[str, str | int]
    resource_pool: str | None = None


@dataclass(frozen=True, kw_only=True)
class SeedRequest:
    """A NoCloud ISO: what a VM's first boot finds.

    Attributes:
        file_name: Of the ISO.
        instance: cloud-init takes a boot with another one for a new machine's first.
        hostname: The guest's.
        user: Login user, with our key and sudo.
        public_key: `authorized_keys` line.
        mac: net0's MAC address.
        address: A fixed one with its prefix, or None for DHCP.
        gateway: Default route with a fixed address, or None.
        dns: DNS servers; empty leaves them to DHCP.
    """

    file_name: str
    instance: str
    hostname: str
    user: str
    public_key: str
    mac: str
    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    dns: tuple[IPv4Address | IPv6Address, ...] = ()


class TemplateMaker(Protocol):
    """Images, ISOs and templates on Proxmox VE. Every method that starts a Proxmox task awaits it."""

    def find_image(self, text: str, *, arch: str, checksum: str) -> CloudImage:
        """The image that a name of the catalogue or a URL means, with its publisher's checksum where there is one.

        Args:
            text: `debian-13`, or `https://...`.
            arch: `amd64` or `arm64`.
            checksum: `sha256:HEX` or `sha512:HEX` to go by instead; empty for the publisher's.

        Raises:
            PreflightError: No such name, or no such checksum.
            ArtifactError: The publisher's list of checksums cannot be fetched.
        """
        ...

    def templates(self) -> tuple[TemplateVm, ...]:
        """All templates of this tool, and VMs that are to become ones, with what depends on them."""
        ...

    def volumes(self, pve_node: PveNodeName, storage: StorageName, *, content: str) -> frozenset[str]:
        """Ids of the volumes of a kind (`iso`, `import`) on a storage."""
        ...

    def download(self, image: CloudImage, *, pve_node: PveNodeName, storage: StorageName, warn: Warn) -> None:
        """Have Proxmox VE fetch an image into `import` content and check its checksum.

        Raises:
            HypervisorError: It cannot; on Proxmox VE before 8.4 says what to do instead.
        """
        ...

    def upload_seed(self, seed: SeedRequest, *, pve_node: PveNodeName, storage: StorageName, warn: Warn) -> None:
        """Put a NoCloud ISO on a storage as ISO content; one of that name is replaced."""
        ...

    def create(self, request: BuilderRequest, *, warn: Warn) -> None:
        """Make the VM. Raises VmidTakenError: of several who try at once, one gets the vmid."""
        ...

    def tag(self, vmid: Vmid, *, pve_node: PveNodeName, tags: tuple[str, ...]) -> None:
        """Set the VM's tags."""
        ...

    def describe(self, vmid: Vmid, *, pve_node: PveNodeName, description: str) -> None:
        """Write the VM's description."""
        ...

    def seal(self, vmid: Vmid, *, pve_node: PveNodeName, drive: str, storage: StorageName, description: str) -> None:
        """Put a cloud-init drive in the place of the ISO (config key `drive`), and write the description with it."""
        ...

    def convert(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """Make a template of a VM that is off. One that is a template already is fine."""
        ...

    def remove_volume(self, volume: str, *, pve_node: PveNodeName, warn: Warn) -> None:
        """Delete a volume; gone already is fine. Needs Datastore.Allocate on its storage."""
        ...

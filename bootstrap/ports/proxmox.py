"""What the library needs of Proxmox VE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bootstrap.model.access.rights import MissingPrivileges, RightsNeeded
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.observed import (
    GuestInterface,
    LostQuorum,
    OsTemplate,
    PveNodeFacts,
    PveVersion,
    TemplateFacts,
    UnreachableVm,
    VmRecord,
)

GUEST_FILE_MAX = 60 * 1024
"""Characters that Proxmox VE's `file-write` takes at most (its API schema)."""

Warn = Callable[[str], None]
"""Takes a warning that stops nothing, such as a Proxmox task's `WARNINGS: 1` with its log line."""


@dataclass(frozen=True, kw_only=True)
class PveFacts:
    """One reading of a Proxmox cluster; `used_vmids` are those of VMs and containers alike.

    Attributes:
        unreachable: VMs on Proxmox nodes that cannot be asked which may be machines of this tool: they carry
            its tag, or are named `<cluster>-...` in the range (a clone that was cut off has no tag yet).
        passed_over: As in `Observed`.
    """

    version: PveVersion
    pve_nodes: tuple[PveNodeFacts, ...]
    templates: tuple[TemplateFacts, ...]
    vms: tuple[VmRecord, ...]
    used_vmids: frozenset[Vmid]
    unreachable: tuple[UnreachableVm, ...] = ()
    lost_quorum: LostQuorum | None = None
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CloneRequest:
    """A clone of a template.

    Attributes:
        template_pve_node: The template's Proxmox node.
        pve_node: Where the clone is to be.
        full: A full clone; `storage` is its target, or None for the template's.
        description: Goes in with the request itself, so that the VM is known as ours from its first instant.
    """

    template: Vmid
    template_pve_node: PveNodeName
    pve_node: PveNodeName
    vmid: Vmid
    name: MachineName
    description: str
    full: bool
    storage: StorageName | None = None
    resource_pool: str | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerRequest:
    """A container, whole.

    Attributes:
        description: Goes in with the request, as all else does.
        settings: Parameters of the request besides, such as `ostemplate`, `rootfs` and `net0`.
    """

    pve_node: PveNodeName
    vmid: Vmid
    name: MachineName
    description: str
    settings: Mapping[str, str | int]
    resource_pool: str | None = None


class Hypervisor(Protocol):
    """Proxmox VE. Every method that starts a Proxmox task awaits it.

    A VM may have moved since it was seen on `pve_node`: every method looks for it in the whole Proxmox cluster then,
    and acts on it where it is. VmNotFoundError means that it is gone; VmOutOfSightError that it may be on a Proxmox
    node that cannot be asked.

    VMs and containers alike: which of the two a vmid is, is known from the readings and from what was made here.
    """

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        """Read everything planning needs. Reads only.

        `vms` holds each VM and container (no templates) that lies in `vmids`, carries our tag, has a record, or is
        named `<cluster>-...`. A Proxmox node that cannot be asked is no error as long as another one can be: it is
        reported as not online, and its VMs are in `unreachable`.
        """
        ...

    def machines(self) -> tuple[VmRecord, ...]:
        """All VMs and containers that carry our tag, of whichever cluster, markers too. Reads no others' configs.

        Of VMs on Proxmox nodes that cannot be asked nothing but vmid, tags and perhaps the name is known.
        """
        ...

    def ostemplates(self) -> tuple[OsTemplate, ...]:
        """The templates of containers, of all Proxmox nodes that are online; those alone that the token may see."""
        ...

    def cpu_types(self, pve_node: PveNodeName) -> frozenset[str]:
        """The CPU types that a Proxmox node knows; of custom models (`custom-NAME`) only what the token may see."""
        ...

    def has_resource_pool(self, name: str) -> bool:
        """Whether there is such a resource pool; needs no privilege."""
        ...

    def package_versions(self, pve_node: PveNodeName) -> Mapping[str, str]:
        """The versions of a Proxmox node's packages by name; empty where the token may not see them (Sys.Audit)."""
        ...

    def missing_privileges(self, rights: RightsNeeded) -> tuple[MissingPrivileges, ...]:
        """What the token lacks to run `up` and `down`, one for each path."""
        ...

    def held_privileges(self) -> tuple[str, ...]:
        """All that the token may do, on whichever path; names of privileges in order."""
        ...

    def is_free(self, vmid: Vmid) -> bool:
        """Whether nothing in the Proxmox cluster has a vmid, counting what the token may not see."""
        ...

    def read_vm(self, vmid: Vmid, *, pve_node: PveNodeName) -> VmRecord:
        """Read one VM where it is now. Raises VmNotFoundError and VmOutOfSightError."""
        ...

    def clone(self, request: CloneRequest, *, warn: Warn) -> None:
        """Clone a template. Raises VmidTakenError when the vmid has been taken."""
        ...

    def create_container(self, request: ContainerRequest, *, warn: Warn) -> None:
        """Make a container. Raises VmidTakenError when the vmid has been taken."""
        ...

    def configure(self, vmid: Vmid, *, pve_node: PveNodeName, settings: Mapping[str, str | int]) -> None:
        """Set config keys (`sshkeys` in plain text: the adapter does Proxmox's double encoding)."""
        ...

    def grow_disk(self, vmid: Vmid, *, pve_node: PveNodeName, disk: str, size_gib: int, warn: Warn) -> None:
        """Grow a disk to a size; never shrinks it."""
        ...

    def start(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """Power on. A VM that runs already is fine.

        Here and when powering off a VM of Proxmox HA's is waited for: HA does it some time after it was asked.
        """
        ...

    def resume(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """Let the CPUs of a paused VM go on."""
        ...

    def shutdown(self, vmid: Vmid, *, pve_node: PveNodeName, timeout_s: int, warn: Warn) -> None:
        """Ask the guest to power off, and pull the plug after `timeout_s`."""
        ...

    def stop(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """Pull the plug. Proxmox HA does that for a VM it manages, and does not start it again.

        Raises:
            HypervisorError: HA has been asked to start it again.
        """
        ...

    def destroy(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """Delete a stopped VM with its disks, and confirm that it is gone. A VM that is gone already is fine.

        One of Proxmox HA's is taken out of HA with it.
        """
        ...

    def guest_interfaces(self, vmid: Vmid, *, pve_node: PveNodeName) -> tuple[GuestInterface, ...]:
        """Ask the guest agent for the interfaces. At most one such call is in flight per Proxmox node.

        Proxmox VE reports a container's itself.

        Raises:
            AgentNotConfiguredError, AgentForbidsError: Final.
            AgentNotRunningError: The guest still boots; the container is off.
        """
        ...

    def read_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str) -> str:
        """Read a small text file of the guest through its agent.

        Raises:
            PermissionDeniedError: The token may not (PVE 9: VM.GuestAgent.FileRead).
            AgentForbidsError: The guest agent's own settings do not allow it.
            AgentNotRunningError: No answer, or the file is not there yet.
        """
        ...

    def write_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str, content: str) -> None:
        """Put a text in place of what a file of the guest holds, through its agent.

        A file that is there keeps its owner and mode; one that is not is made as root's. The agent empties the file
        before it writes.

        Args:
            vmid: The VM's.
            pve_node: Where it was seen.
            path: The file; its directory has to be there.
            content: ASCII text, at most `GUEST_FILE_MAX` characters: Proxmox VE takes no more.

        Raises:
            PermissionDeniedError: The token may not (PVE 9: VM.GuestAgent.FileWrite).
            AgentForbidsError: The guest agent's own settings do not allow it.
            AgentNotRunningError: No answer, or the guest agent cannot write there.
        """
        ...

    def container_host_key(self, vmid: Vmid, *, pve_node: PveNodeName) -> str | None:
        """The fingerprint (`SHA256:...`) of a container's SSH host key, which Proxmox VE reported when it made it.

        None where that is not known: another token made it, or another Proxmox node, or too long ago.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Marker:
    """A VM without disks that is never started: a note that all who use a Proxmox cluster can see.

    Attributes:
        lock: Proxmox's config lock: `create` while it is being made (name and description come with the end of that).
        digest: Names this very state of its config.
        smbios_uuid: UUID in smbios1, lower case; empty where it has none.
        drives: Config keys of its drives; a marker has none.
    """

    vmid: Vmid
    pve_node: PveNodeName
    name: str
    description: str
    lock: str | None
    digest: str
    smbios_uuid: str = ""
    drives: tuple[str, ...] = ()


class Markers(Protocol):
    """Marker VMs of a Proxmox cluster."""

    def find(self, vmid: Vmid) -> Marker | None:
        """The VM of this vmid as it is now, marker or not; None where no VM that we may see has it."""
        ...

    def create(
        self,
        vmid: Vmid,
        *,
        pve_nodes: tuple[PveNodeName, ...],
        name: str,
        description: str,
        tags: tuple[str, ...],
        smbios_uuid: str,
        resource_pool: str | None,
    ) -> None:
        """Make one on the first of `pve_nodes` (empty: of all) that is online, and await it.

        Raises:
            VmidTakenError: The vmid is taken: of several who try at once, one gets it.
        """
        ...

    def rewrite(self, marker: Marker, *, name: str, description: str, tags: tuple[str, ...]) -> bool:
        """Change one, if it still is as it was read; False where it is not, or is gone."""
        ...

    def remove(self, marker: Marker) -> None:
        """Delete one; gone already is fine."""
        ...

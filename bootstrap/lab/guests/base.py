"""The interface between the lab's front (the Proxmox API) and the guest backends.

The front has the configuration and power state of VMs; a `GuestDriver` makes guests follow it. Both live in one asyncio
process, so every method is a coroutine and none may block the loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import Any, Protocol, runtime_checkable


class GuestError(Exception):
    """A guest could not be made, started or stopped; the text goes into the task log."""


class AgentSilentError(Exception):
    """The guest's qemu-ga does not answer (guest down, still booting, or the agent is dead)."""


class AgentCommandError(Exception):
    """The guest's qemu-ga answered with an error; the text is its `desc`."""


@dataclass(frozen=True, kw_only=True)
class LabNetwork:
    """The lab's bridge and the range behind it (RFC 2544 benchmarking range, no home network's).

    Attributes:
        bridge: Linux bridge all guests are on; made and removed by the lab.
        gateway: The bridge's own address with its prefix.
        dhcp_first, dhcp_last: Bounds of the pool the lab's DHCP server hands out, as text.
    """

    bridge: str = "hklab0"
    gateway: IPv4Interface = field(default_factory=lambda: IPv4Interface("198.18.0.1/16"))
    dhcp_first: str = "198.18.100.1"
    dhcp_last: str = "198.18.199.254"


@dataclass(frozen=True, kw_only=True)
class NoCloudSeed:
    """The three files of a cloud-init NoCloud data source, as Proxmox renders them from a VM's config."""

    meta_data: str
    user_data: str
    network_config: str


@dataclass(frozen=True, kw_only=True)
class ContainerSetup:
    """What Proxmox VE writes into the files of a container, which has no cloud-init (pve-container: PVE::LXC::Setup).

    Attributes:
        keys: root's `authorized_keys`.
        address: eth0's, with its prefix; None for DHCP.
        gateway: Default route with a fixed address, or None.
        host_key: sshd's private key, made by Proxmox VE with the container; empty if it made none.
    """

    keys: str
    host_key: str = field(default="", repr=False)
    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None


@dataclass(frozen=True, kw_only=True)
class GuestSpec:
    """The spec of a guest at its start.

    Attributes:
        vmid: Proxmox VM id; unique in the lab.
        name: VM name, also the guest's host name.
        mac: MAC address of net0, upper-case, colon-separated.
        smbios_uuid: UUID of smbios1; a guest with firmware has it in /sys/class/dmi/id/product_uuid.
        cores: vCPUs.
        memory_mib: RAM.
        disk_gib: Size of the system disk (0: as the template's).
        agent_enabled: Whether the VM's `agent` option is on (without it there is no channel to qemu-ga).
        seed: cloud-init seed, or None for a VM without a cloud-init drive.
        setup: Of a Proxmox container; None of a VM.
    """

    vmid: int
    name: str
    mac: str
    smbios_uuid: str
    cores: int
    memory_mib: int
    disk_gib: int
    agent_enabled: bool
    seed: NoCloudSeed | None
    setup: ContainerSetup | None = None


class GuestDriver(Protocol):
    """Real guests of one kind. All methods are idempotent, and safe to call for different vmids at once."""

    @property
    def kind(self) -> str:
        """`container`, `qemu` or `simulated`."""
        ...

    async def prepare(self) -> None:
        """Make the bridge and everything that guests share; build the template if the cache has none.

        Raises:
            GuestError: The machine cannot run this kind; the text says what to do.
        """
        ...

    async def clone(self, vmid: int) -> None:
        """Make the guest's disk from the template (a linked clone). No-op when it exists."""
        ...

    async def start(self, spec: GuestSpec) -> None:
        """Power the guest on; returns at the start, before the boot ends. No-op when it runs."""
        ...

    async def stop(self, vmid: int, *, graceful_s: float = 0.0) -> None:
        """Power the guest off: ask it for `graceful_s` seconds, then by force. No-op when off."""
        ...

    async def destroy(self, vmid: int) -> None:
        """Stop the guest and remove its disk and everything else. No-op without a guest."""
        ...

    def running(self, vmid: int) -> bool:
        """Whether the guest is powered on right now (False after it powered itself off)."""
        ...

    async def agent(self, vmid: int, command: str, arguments: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - qemu-ga answers JSON of any shape
        """Send one command (`guest-ping`, `guest-network-get-interfaces`, ...) to the guest's own qemu-ga.

        Returns:
            The `return` member of the answer.

        Raises:
            AgentSilentError: No answer within 3 s, the time Proxmox VE allows.
            AgentCommandError: The agent answered with an error.
        """
        ...

    async def close(self) -> None:
        """Stop and remove all guests, the bridge and the routes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Interface:
    """A network interface as seen from outside its guest; the MAC address in lower case."""

    name: str
    mac: str
    addresses: tuple[IPv4Interface, ...]


@runtime_checkable
class ContainerDriver(Protocol):
    """A `GuestDriver` whose guests can be Proxmox containers: it reads their network without an agent."""

    async def interfaces(self, vmid: int) -> tuple[Interface, ...]:
        """The interfaces of a running guest; empty if they cannot be read yet."""
        ...


@runtime_checkable
class LayeredDriver(Protocol):
    """A `GuestDriver` that can clone another guest's changed disk."""

    async def clone_from(self, vmid: int, *, base: int, full: bool) -> None:
        """Make the guest's disk from the disk of the guest `base`, which stays off. No-op when it exists.

        Args:
            vmid: The new guest.
            base: The template's guest.
            full: A copy; else a thin layer, which `base` must outlive.
        """
        ...

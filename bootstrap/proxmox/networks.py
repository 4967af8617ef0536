"""A machine's bridges, VLAN, IPv4 settings and resolver, as VMs and containers have them alike. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address

from bootstrap.model.cluster import ClusterSpec, NetworkSpec, StaticAddresses
from bootstrap.model.machine import MachineShape
from bootstrap.model.observed import TemplateFacts

_FIRST_BRIDGE = "vmbr0"
"""What Proxmox VE's installer makes, and what a network device without a bridge of its own gets here."""


def bridge_of(spec: ClusterSpec, template: TemplateFacts | None, of: MachineShape | None = None) -> str:
    """The bridge a machine of this template is on; without `of`, one of a pool that names none itself."""
    return (of and of.network.bridge) or spec.network.bridge or (template.bridge if template else None) or _FIRST_BRIDGE


def vlan_of(spec: ClusterSpec, of: MachineShape) -> int | None:
    """The VLAN tag a machine is to have: the cluster's is not for pools on a bridge of their own."""
    if of.network.vlan is not None or of.network.bridge is not None:
        return of.network.vlan
    return spec.network.vlan


def bridges_of(spec: ClusterSpec, template: TemplateFacts | None, of: MachineShape) -> tuple[str, ...]:
    """The bridges of all network devices of a machine of this template."""
    storage = spec.network.storage
    return (bridge_of(spec, template, of), *((storage.bridge,) if storage else ()))


def ip_setting(addresses: StaticAddresses | None, address: IPv4Address | None) -> str:
    """What `ipconfigN` of a VM or `netN` of a container says of IPv4."""
    if address is None or addresses is None:
        return "ip=dhcp"
    gateway = f",gw={addresses.gateway}" if addresses.gateway else ""
    return f"ip={address}/{addresses.subnet.prefixlen}{gateway}"


def resolver_settings(network: NetworkSpec) -> dict[str, str]:
    """DNS servers and search domain; what is not set is left to Proxmox VE."""
    found = {"nameserver": " ".join(map(str, network.dns)), "searchdomain": network.search or ""}
    return {key: value for key, value in found.items() if value}

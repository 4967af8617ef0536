"""What dual stack adds, IPv4 first: machines' IPv6 addresses, and k3s's networks of both families. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from bootstrap.model.ipv6 import IPv6Spec
from bootstrap.model.machine import RecordState, Role
from bootstrap.model.observed import GuestInterface, Observed, VmRecord
from bootstrap.records.vms.machine import is_ours

PODS: Final = IPv4Network("10.42.0.0/16")
SERVICES: Final = IPv4Network("10.43.0.0/16")
"""k3s's own defaults (its documentation)."""
NODE_PREFIX, NODE_PREFIX6 = 24, 64
"""The pod range each node gets of either family (Kubernetes' node-cidr-mask-size, defaults)."""
_ULA = IPv6Network("fc00::/7")
_SERVICES_PREFIX6 = 112
"""Kubernetes takes at most 2**20 service addresses, and k3s's documentation shows this."""


@dataclass(frozen=True, kw_only=True)
class ClusterNetworks:
    """k3s's networks of one family or both, IPv4 first."""

    pods: tuple[IPv4Network | IPv6Network, ...]
    services: tuple[IPv4Network | IPv6Network, ...]


def cluster_networks(spec: ClusterSpec) -> ClusterNetworks:
    """The networks of pods and services; with IPv6 on, the ones not given are unique local (RFC 4193)."""
    pods, services = spec.k3s.cluster_cidr or PODS, spec.k3s.service_cidr or SERVICES
    if spec.network.ipv6 is None:
        return ClusterNetworks(pods=(pods,), services=(services,))
    own = local_prefix(spec.name)
    # Room for as many nodes as in the IPv4 range, in the lower half at the most: each gets a /64 here and a /24 there.
    length = max(own.prefixlen + 1, NODE_PREFIX6 - max(0, NODE_PREFIX - pods.prefixlen))
    pods6 = spec.k3s.cluster_cidr6 or next(own.subnets(new_prefix=length))
    services6 = spec.k3s.service_cidr6 or IPv6Network((int(own.broadcast_address) >> 64 << 64, _SERVICES_PREFIX6))
    return ClusterNetworks(pods=(pods, pods6), services=(services, services6))


def local_prefix(name: ClusterName) -> IPv6Network:
    """A /48 of unique local addresses for a cluster.

    RFC 4193 wants the 40 bits random. Ours follow from the cluster's name, so that all servers and all runs have the
    same ones without a state to keep; two clusters share them only if they share their name.
    """
    bits = int.from_bytes(hashlib.sha256(f"homelab-k8s pods and services of {name}".encode()).digest()[:5], "big")
    return IPv6Network((0xFD << 120 | bits << 80, 48))


def network_settings(spec: ClusterSpec) -> dict[str, object]:
    """k3s's settings of the cluster's networks; only what differs from its defaults."""
    networks = cluster_networks(spec)
    settings: dict[str, object] = {}
    if networks.pods != (PODS,):
        settings["cluster-cidr"] = ",".join(map(str, networks.pods))
    if networks.services != (SERVICES,):
        settings["service-cidr"] = ",".join(map(str, networks.services))
    if any(map(is_local, networks.pods)) and spec.network.cni.is_flannel:
        settings["flannel-ipv6-masq"] = True  # a router knows no way back to such pods; global ones are the user's
    return settings


def is_local(network: IPv4Network | IPv6Network) -> bool:
    """Whether it is an IPv6 network of unique local addresses."""
    return isinstance(network, IPv6Network) and network.subnet_of(_ULA)


def fixed_address6(spec: ClusterSpec, address: IPv4Address | None) -> IPv6Address | None:
    """The fixed IPv6 address that goes with a fixed IPv4 one, or None where there is none.

    One of another range than the inventory has now (it was narrowed, or moved) has no place here either.
    """
    addresses, addresses6 = spec.network.addresses, spec.network.ipv6.addresses if spec.network.ipv6 else None
    if address is None or addresses is None or addresses6 is None:
        return None
    found = int(addresses6.first) + int(address) - int(addresses.first)
    return IPv6Address(found) if int(addresses6.first) <= found <= int(addresses6.last) else None


def ip6_setting(spec: ClusterSpec, address: IPv4Address | None) -> str:
    """What ipconfig0 says of IPv6, such as `,ip6=auto`; empty without IPv6."""
    wanted = spec.network.ipv6
    if wanted is None:
        return ""
    fixed = fixed_address6(spec, address)
    if fixed is None or wanted.addresses is None:
        return f",ip6={wanted.method}"
    gateway = f",gw6={wanted.addresses.gateway}" if wanted.addresses.gateway else ""
    return f",ip6={fixed}/{wanted.addresses.subnet.prefixlen}{gateway}"


def own_address6(
    interfaces: Iterable[GuestInterface], vm: VmRecord, wanted: IPv6Spec | None
) -> IPv6Address | str | None:
    """A machine's IPv6 address, why there is none yet, or None where there is none to come.

    What counts is how its VM was made: a machine of a cluster with IPv4 alone gets none from a changed inventory.
    """
    if wanted is None or vm.ip6 is None:
        return None
    fixed = IPv6Interface(vm.ip6).ip if "/" in vm.ip6 else None
    return choose_address6(interfaces, mac=vm.mac, subnet=wanted.subnet, fixed=fixed)


def choose_address6(
    interfaces: Iterable[GuestInterface], *, mac: str | None, subnet: IPv6Network | None, fixed: IPv6Address | None
) -> IPv6Address | str:
    """The IPv6 address of the interface with net0's MAC address, or why there is none, in one line.

    The guest agent reports addresses without their flags, so privacy addresses look like others. Of several,
    these come first, since a node's address must not change: unique local ones before global ones (a provider may
    change a home's prefix any day), then the one made from the MAC address (RFC 4291, appendix A), then the lowest.
    """
    own = [interface for interface in interfaces if mac is None or interface.mac.upper() == mac.upper()]
    if not own:
        return f"no interface has net0's MAC address {mac}"
    told = [address for interface in own for address in interface.addresses6 if _counts(address)]
    if fixed is not None:
        return fixed if fixed in told else f"{own[0].name} does not have {fixed} as configured yet"
    return _steadiest(told, own[0], subnet)


def _steadiest(told: Sequence[IPv6Address], interface: GuestInterface, subnet: IPv6Network | None) -> IPv6Address | str:
    """Of several addresses the one that is least likely to change."""
    if not told:
        return f"{interface.name} has no IPv6 address yet but link-local ones"
    fitting = [address for address in told if subnet is None or address in subnet]
    if not fitting:
        return f"{interface.name} has {', '.join(map(str, sorted(told)))}, none of which is in {subnet}"
    host = interface_id(interface.mac)
    return min(fitting, key=lambda address: (address not in _ULA, int(address) & 2**64 - 1 != host, address))


def interface_id(mac: str) -> int:
    """The lower 64 bits of the addresses that are made from a MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return int.from_bytes(bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]), "big")


def _counts(address: IPv6Address) -> bool:
    return not (address.is_link_local or address.is_loopback or address.is_multicast or address.is_unspecified)


def check_families(spec: ClusterSpec, observed: Observed) -> None:
    """Refuse to give a cluster that is there another set of address families: k3s cannot change them.

    "You cannot change an existing cluster" to dual stack (k3s documentation, Dual-stack networking). A server's VM
    says what it was made with.

    Raises:
        PreflightError: Nothing was touched.
    """
    servers = [vm for vm in observed.vms if _is_server(vm, spec)]
    wanted = spec.network.ipv6 is not None
    if not servers or any((vm.ip6 is not None) == wanted for vm in servers):
        return
    was, now = ("IPv4 alone", "IPv6 too") if wanted else ("IPv4 and IPv6", "IPv4 alone")
    undo = "remove network.ipv6 from the inventory" if wanted else "restore network.ipv6 in the inventory"
    raise PreflightError(
        f"{spec.name} was created for {was}, but the inventory says {now}: k3s cannot change that in a cluster",
        details=f"existing servers: {', '.join(vm.name for vm in servers)}",
        resolution=Advice("{}, or rebuild the cluster without its data: `homelab-k8s rebuild`", undo),
    )


def _is_server(vm: VmRecord, spec: ClusterSpec) -> bool:
    record = vm.record
    made = record is not None and record.role is Role.CONTROL_PLANE and record.state is not RecordState.CLONING
    return made and is_ours(vm, spec.name)

"""Checks that the addresses, networks and MTUs of the inventory fit together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Final
from urllib.parse import urlsplit

from bootstrap.inventory.keys.k3s import K3sKeys
from bootstrap.inventory.keys.network import NetworkKeys, PoolNetworkKeys, StorageNetworkKeys
from bootstrap.inventory.keys.pools import VipKeys
from bootstrap.inventory.keys.proxmox import ProxmoxKeys
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.address_formats import Cidrs
from bootstrap.inventory.values.section import Key, Section
from bootstrap.model.words import count

_SMALLEST_MTU: Final = 576
"""The minimum that every IPv4 host accepts (RFC 791); 1 means the bridge's own in Proxmox."""

_K3S_OWN: Final[tuple[tuple[Key[Cidrs], IPv4Network], ...]] = (
    (K3sKeys.cluster_cidr, IPv4Network("10.42.0.0/16")),
    (K3sKeys.service_cidr, IPv4Network("10.43.0.0/16")),
)
"""k3s's default networks."""

_POINT_TO_POINT: Final = 31
"""Networks with a prefix of at least this length have neither a network's nor a broadcast address (RFC 3021)."""


def check_addresses(root: Root, problems: Problems) -> None:
    """Add problems for fixed addresses: outside their subnet, too few, or already in use."""
    network = root.network
    if network is None or network.addresses is None:
        return
    _check_range(network, root.machine_count, problems)
    for what, address, at in _neighbours(root, network):
        if address in network.addresses:
            problems.add(
                at, f"{what} {address} is within the range of the machines' addresses", "leave it out of the range"
            )


def check_gateway(root: Root, problems: Problems) -> None:
    """Add a problem for a gateway outside the subnet, or without fixed addresses."""
    network = root.network
    if network is None or not network.given(NetworkKeys.gateway):
        return
    where = network.at(NetworkKeys.gateway)
    if not network.given(NetworkKeys.addresses):
        problems.add(
            where, "has no effect without addresses", "with DHCP the gateway comes from the DHCP server: remove it"
        )
        return
    gateway, subnet = network.gateway, network.subnet
    if gateway is not None and subnet is not None and not _usable(gateway, subnet):
        problems.add(where, f"{gateway} is not in the subnet {subnet}", _usable_hint(subnet))


def check_vip(root: Root, problems: Problems) -> None:
    """Add problems for a VIP outside the machines' network, or already in use."""
    vip = root.control_plane.vip if root.control_plane is not None else None
    if vip is not None and vip.address is not None and root.network is not None:
        _check_vip_address(root, root.network, vip.address, vip.at(VipKeys.address), problems)


def _check_vip_address(
    root: Root, network: NetworkKeys, address: IPv4Address, where: Where, problems: Problems
) -> None:
    if network.subnet is not None and not _usable(address, network.subnet):
        hint = _usable_hint(network.subnet)
        problems.add(where, f"{address} is not in the machines' subnet {network.subnet}", hint)
    if network.addresses is not None and address in network.addresses:
        problems.add(
            where, f"{address} is within the range of the machines' addresses", "choose one outside that range"
        )
    for what, other, _at in _neighbours(root, network):
        if address == other:
            problems.add(where, f"{address} is {what}", "choose a free one")


def check_pool_networks(root: Root, problems: Problems) -> None:
    """Add problems for pools with their own VLAN where all addresses are of one network."""
    network = root.network
    if network is None or not network.given(NetworkKeys.addresses):
        return
    for pool in root.all_pools:
        own = pool.network
        vlan = own.vlan if own is not None else None
        if own is None or vlan is None or vlan == network.vlan:
            continue
        problems.add(
            own.at(PoolNetworkKeys.vlan),
            f"VLAN {vlan} is another network than that of network.addresses",
            "remove it, or remove network.addresses: DHCP serves each VLAN separately",
        )


def check_storage_network(root: Root, problems: Problems) -> None:
    """Add problems for `network.storage`, and for invalid MTUs."""
    network = root.network
    if network is None:
        return
    _check_mtu(network, NetworkKeys.mtu, problems)
    storage = network.storage
    if storage is None:
        return
    _check_mtu(storage, StorageNetworkKeys.mtu, problems)
    _check_range(storage, root.machine_count, problems)
    # Two interfaces in one network: the guest would answer through either of them.
    cidrs = [(f"k3s.{key.name}", _cidr(root.k3s, key, own)) for key, own in _K3S_OWN] if root.k3s is not None else []
    for name, other in (("network.subnet", network.subnet), *cidrs):
        if storage.subnet is not None and other is not None and storage.subnet.overlaps(other):
            problems.add(storage.at(StorageNetworkKeys.subnet), f"{storage.subnet} overlaps {name} {other}")


@dataclass(frozen=True, kw_only=True)
class _Network:
    """One of the networks that must not overlap, and whether it is in the file."""

    name: str
    network: IPv4Network | None
    where: Where
    given: bool


def check_networks_apart(root: Root, problems: Problems) -> None:
    """Add problems where the machines', the pods' and the services' networks overlap."""
    network, k3s = root.network, root.k3s
    if network is None or k3s is None:
        return
    key = NetworkKeys.subnet
    subnet = _Network(name=key.name, network=network.subnet, where=network.at(key), given=network.given(key))
    pods, services = (
        _Network(name=key.name, network=_cidr(k3s, key, own), where=k3s.at(key), given=k3s.given(key))
        for key, own in _K3S_OWN
    )
    for one, other in ((pods, services), (pods, subnet), (services, subnet)):
        if one.network is None or other.network is None or not one.network.overlaps(other.network):
            continue
        # Reported at the one that is in the file: k3s's defaults are not.
        where = other.where if other.given else one.where
        message = f"{other.name} {other.network} overlaps {one.name} {one.network}"
        problems.add(where, message, "choose networks that do not overlap")


def _neighbours(root: Root, network: NetworkKeys) -> Iterator[tuple[str, IPv4Address, Where]]:
    """Addresses that machines must not have."""
    gateway = network.gateway
    if gateway is not None:
        yield "the gateway", gateway, network.at(NetworkKeys.gateway)
    at = network.at(NetworkKeys.dns)
    for index, server in enumerate(network.dns or ()):
        if isinstance(server, IPv4Address) and server != gateway:
            yield "the DNS server", server, at.item(index, at.line)
    proxmox = root.proxmox
    try:
        if proxmox is not None and proxmox.endpoint is not None:
            host = urlsplit(proxmox.endpoint).hostname or ""
            yield "the Proxmox endpoint", IPv4Address(host), proxmox.at(ProxmoxKeys.endpoint)
    except AddressValueError:
        return  # a host name, which is not resolved here


def _check_range(network: NetworkKeys | StorageNetworkKeys, machines: int | None, problems: Problems) -> None:
    """Add problems for addresses without or outside a subnet, or too few; `machines` is None where unknown."""
    addresses, where, subnet = network.addresses, network.at(NetworkKeys.addresses), network.subnet
    if addresses is None:
        return
    if not network.given(NetworkKeys.subnet):
        guess = IPv4Network((addresses.first, 24), strict=False)
        problems.add(where, "fixed addresses need the subnet they are in", f"add subnet: {guess}")
    if subnet is not None and not (_usable(addresses.first, subnet) and _usable(addresses.last, subnet)):
        problems.add(where, f"{addresses.first}-{addresses.last} is outside the subnet {subnet}", _usable_hint(subnet))
    if machines is not None and len(addresses) < machines:
        message = f"{count(len(addresses), 'address')} for {count(machines, 'machine')}"
        problems.add(where, message, "widen the range")


def _check_mtu(section: Section, key: Key[int], problems: Problems) -> None:
    """Add a problem for an MTU too small for IPv4."""
    mtu = section.value(key)
    if mtu is not None and 1 < mtu < _SMALLEST_MTU:
        hint = f"from {_SMALLEST_MTU}, or 1 for the bridge's own"
        problems.add(section.at(key), f"{mtu} is too small for IPv4", hint)


def _cidr(k3s: K3sKeys, key: Key[Cidrs], own: IPv4Network) -> IPv4Network | None:
    """The IPv4 side of one of k3s's networks; None where it is given and wrong."""
    found = k3s.value(key)
    return found.v4 if found is not None else None if k3s.given(key) else own


def _usable(address: IPv4Address, subnet: IPv4Network) -> bool:
    if subnet.prefixlen >= _POINT_TO_POINT:
        return address in subnet
    return subnet.network_address < address < subnet.broadcast_address


def _usable_hint(subnet: IPv4Network) -> str:
    if subnet.prefixlen >= _POINT_TO_POINT:
        return ""
    return f"hosts there are {subnet.network_address + 1} to {subnet.broadcast_address - 1}"

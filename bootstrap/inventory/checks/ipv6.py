"""Checks that the IPv6 values of the inventory fit together."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from bootstrap.inventory.keys.k3s import K3sKeys
from bootstrap.inventory.keys.network import Ipv6Keys, NetworkKeys
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.address_formats import AddressRange, Cidrs
from bootstrap.inventory.values.section import Key

_PODS_PREFIXES = range(48, 64)
"""Each node gets a /64, of which there are at most 2**16 (Kubernetes, node-cidr-mask-size-ipv6)."""
_SERVICES_PREFIXES = range(108, 124)
"""Kubernetes allows at most 2**20 addresses for services."""


def check_ipv6(root: Root, problems: Problems) -> None:
    """Add problems for `network.ipv6` and for the IPv6 side of k3s's networks."""
    network, k3s = root.network, root.k3s
    if network is None:
        return
    ipv6 = network.ipv6
    if ipv6 is not None:
        _check_addresses(network, ipv6, problems)
    if k3s is None:
        return
    for key, prefixes in ((K3sKeys.cluster_cidr, _PODS_PREFIXES), (K3sKeys.service_cidr, _SERVICES_PREFIXES)):
        _check_cidr(k3s, key, prefixes, problems, dual_stack=network.given(NetworkKeys.ipv6))
    _check_apart(ipv6, k3s, problems)


def _check_addresses(network: NetworkKeys, ipv6: Ipv6Keys, problems: Problems) -> None:
    addresses, where = ipv6.addresses, ipv6.at(Ipv6Keys.addresses)
    if not ipv6.given(Ipv6Keys.addresses):
        if ipv6.given(Ipv6Keys.gateway):
            hint = "routers advertise it: remove it"
            problems.add(ipv6.at(Ipv6Keys.gateway), "has no effect without addresses", hint)
        return
    if ipv6.given(Ipv6Keys.method):
        problems.add(ipv6.at(Ipv6Keys.method), "has no effect with addresses", "keep only one of them")
    if not network.given(NetworkKeys.addresses):
        hint = "set network.addresses, too, or remove these and let routers advertise a prefix"
        problems.add(where, "a machine's place in network.addresses is its place here, and there are none", hint)
    if addresses is not None:
        _check_range(network, ipv6, addresses, problems)
        _check_gateway(ipv6, addresses, problems)


def _check_range(
    network: NetworkKeys, ipv6: Ipv6Keys, addresses: AddressRange[IPv6Address], problems: Problems
) -> None:
    where, subnet = ipv6.at(Ipv6Keys.addresses), ipv6.subnet
    if not ipv6.given(Ipv6Keys.subnet):
        guess = IPv6Network((addresses.first, 64), strict=False)
        problems.add(where, "fixed addresses need the subnet they are in", f"add subnet: {guess}")
    if subnet is not None and not (addresses.first in subnet and addresses.last in subnet):
        problems.add(where, f"{addresses.first}-{addresses.last} is outside the subnet {subnet}")
    elif subnet is not None and addresses.first == subnet.network_address:
        problems.add(where, f"{addresses.first} is for the subnet's routers (RFC 4291)", "begin one later")
    own = network.addresses
    if own is not None and len(addresses) < len(own):
        problems.add(where, f"{len(addresses)} addresses for the {len(own)} of network.addresses", "widen the range")


def _check_gateway(ipv6: Ipv6Keys, addresses: AddressRange[IPv6Address], problems: Problems) -> None:
    gateway, where = ipv6.gateway, ipv6.at(Ipv6Keys.gateway)
    subnet = ipv6.subnet
    if gateway is None:
        return
    if not gateway.is_link_local and subnet is not None and gateway not in subnet:
        problems.add(where, f"{gateway} is neither link-local nor in the subnet {subnet}")
    if addresses.first <= gateway <= addresses.last:
        problems.add(where, f"{gateway} is within the range of the machines' addresses", "leave it out of the range")


def _check_cidr(k3s: K3sKeys, key: Key[Cidrs], prefixes: range, problems: Problems, *, dual_stack: bool) -> None:
    found = k3s.value(key)
    if found is None or found.v6 is None:
        return
    if not dual_stack:
        problems.add(k3s.at(key), f"{found.v6} needs machines with IPv6", "add network: {ipv6: auto}")
    if found.v6.prefixlen not in prefixes:
        hint = f"its prefix may be /{prefixes[0]} to /{prefixes[-1]}"
        problems.add(k3s.at(key), f"{found.v6} has a size that Kubernetes does not support", hint)


def _check_apart(ipv6: Ipv6Keys | None, k3s: K3sKeys, problems: Problems) -> None:
    pods, services = k3s.cluster_cidr, k3s.service_cidr
    subnet = ipv6.subnet if ipv6 is not None else None
    networks = [
        (cidrs.v6, k3s.at(key))
        for key, cidrs in ((K3sKeys.cluster_cidr, pods), (K3sKeys.service_cidr, services))
        if cidrs is not None and cidrs.v6 is not None
    ]
    for network, where in networks:
        if subnet is not None and network.overlaps(subnet):
            problems.add(
                where, f"{network} overlaps network.ipv6.subnet {subnet}", "choose networks that do not overlap"
            )
    if len(networks) == 2 and networks[0][0].overlaps(networks[1][0]):
        (pods6, _), (services6, where) = networks
        problems.add(where, f"{services6} overlaps cluster_cidr {pods6}", "choose networks that do not overlap")

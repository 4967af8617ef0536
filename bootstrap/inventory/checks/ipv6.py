"""Whether what the inventory says of IPv6 goes together."""

from __future__ import annotations

from ipaddress import IPv6Network

from bootstrap.inventory.keys import all as table
from bootstrap.inventory.keys import network as table_network
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.containers import Field, Values
from bootstrap.inventory.values.ipv6_formats import AddressRange6, Cidrs

_PODS_PREFIXES = range(48, 64)
"""Each node gets a /64, of which there are at most 2**16 (Kubernetes, node-cidr-mask-size-ipv6)."""
_SERVICES_PREFIXES = range(108, 124)
"""Kubernetes takes no wider network of services than 2**20 addresses."""


def check_ipv6(root: Values, problems: Problems) -> None:
    """Note what is wrong with `network.ipv6` and with the IPv6 side of k3s's networks."""
    network, k3s = root.get(table_network.NETWORK), root.get(table.K3S)
    if network is None:
        return
    given = network.given(table_network.IPV6)
    ipv6 = network.get(table_network.IPV6) if given else None
    if ipv6 is not None:
        _check_addresses(network, ipv6, problems)
    if k3s is None:
        return
    for key, prefixes in ((table.CLUSTER_CIDR, _PODS_PREFIXES), (table.SERVICE_CIDR, _SERVICES_PREFIXES)):
        _check_cidr(k3s, key, prefixes, problems, dual_stack=given)
    _check_apart(ipv6, k3s, problems)


def _check_addresses(network: Values, ipv6: Values, problems: Problems) -> None:
    addresses, where = ipv6.get(table_network.IPV6_ADDRESSES), ipv6.at(table_network.IPV6_ADDRESSES)
    if not ipv6.given(table_network.IPV6_ADDRESSES):
        if ipv6.given(table_network.IPV6_GATEWAY):
            hint = "routers advertise it: take it out"
            problems.add(ipv6.at(table_network.IPV6_GATEWAY), "has no effect without addresses", hint)
        return
    if ipv6.given(table_network.IPV6_METHOD):
        problems.add(ipv6.at(table_network.IPV6_METHOD), "has no effect with addresses", "keep one of the two")
    if not network.given(table_network.ADDRESSES):
        hint = "give network.addresses too, or take them out and let routers advertise a prefix"
        problems.add(where, "a machine's place in network.addresses is its place here, and there are none", hint)
    if addresses is not None:
        _check_range(network, ipv6, addresses, problems)
        _check_gateway(ipv6, addresses, problems)


def _check_range(network: Values, ipv6: Values, addresses: AddressRange6, problems: Problems) -> None:
    where, subnet = ipv6.at(table_network.IPV6_ADDRESSES), ipv6.get(table_network.IPV6_SUBNET)
    if not ipv6.given(table_network.IPV6_SUBNET):
        guess = IPv6Network((addresses.first, 64), strict=False)
        problems.add(where, "fixed addresses need the subnet they are in", f"add subnet: {guess}")
    if subnet is not None and not (addresses.first in subnet and addresses.last in subnet):
        problems.add(where, f"{addresses.first}-{addresses.last} leaves the subnet {subnet}")
    elif subnet is not None and addresses.first == subnet.network_address:
        problems.add(where, f"{addresses.first} is for the subnet's routers (RFC 4291)", "begin one later")
    own = network.get(table_network.ADDRESSES)
    if own is not None and len(addresses) < len(own):
        problems.add(where, f"{len(addresses)} addresses for the {len(own)} of network.addresses", "widen the range")


def _check_gateway(ipv6: Values, addresses: AddressRange6, problems: Problems) -> None:
    gateway, where = ipv6.get(table_network.IPV6_GATEWAY), ipv6.at(table_network.IPV6_GATEWAY)
    subnet = ipv6.get(table_network.IPV6_SUBNET)
    if gateway is None:
        return
    if not gateway.is_link_local and subnet is not None and gateway not in subnet:
        problems.add(where, f"{gateway} is neither link-local nor in the subnet {subnet}")
    if addresses.first <= gateway <= addresses.last:
        problems.add(where, f"{gateway} lies among the machines' addresses", "leave it out of the range")


def _check_cidr(k3s: Values, key: Field[Cidrs], prefixes: range, problems: Problems, *, dual_stack: bool) -> None:
    found = k3s.get(key)
    if found is None or found.v6 is None:
        return
    if not dual_stack:
        problems.add(k3s.at(key), f"{found.v6} needs machines with IPv6", "add network: {ipv6: auto}")
    if found.v6.prefixlen not in prefixes:
        hint = f"its prefix may be /{prefixes[0]} to /{prefixes[-1]}"
        problems.add(k3s.at(key), f"{found.v6} is of a size that Kubernetes does not take", hint)


def _check_apart(ipv6: Values | None, k3s: Values, problems: Problems) -> None:
    pods, services = k3s.get(table.CLUSTER_CIDR), k3s.get(table.SERVICE_CIDR)
    subnet = ipv6.get(table_network.IPV6_SUBNET) if ipv6 is not None else None
    networks = [
        (cidrs.v6, k3s.at(key))
        for key, cidrs in ((table.CLUSTER_CIDR, pods), (table.SERVICE_CIDR, services))
        if cidrs is not None and cidrs.v6 is not None
    ]
    for network, where in networks:
        if subnet is not None and network.overlaps(subnet):
            problems.add(where, f"{network} overlaps network.ipv6.subnet {subnet}", "choose networks that are apart")
    if len(networks) == 2 and networks[0][0].overlaps(networks[1][0]):
        (pods6, _), (services6, where) = networks
        problems.add(where, f"{services6} overlaps cluster_cidr {pods6}", "choose networks that are apart")

"""Whether a storage network, pools' own networks and the MTUs of the inventory make sense."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network

from bootstrap.inventory.keys import all as table
from bootstrap.inventory.keys import network as table_network
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.containers import Field, Values
from bootstrap.inventory.values.ipv6_formats import Cidrs

_SMALLEST_MTU = 576
"""What every IPv4 host must take (RFC 791); 1 is Proxmox's word for the bridge's own."""

Usable = Callable[[IPv4Address, IPv4Network], bool]


def check_mtu(section: Values, key: Field[int], problems: Problems) -> None:
    """Note an MTU that no IPv4 network can have."""
    mtu = section.get(key)
    if mtu is not None and 1 < mtu < _SMALLEST_MTU:
        problems.add(
            section.at(key), f"{mtu} is too small for IPv4", f"from {_SMALLEST_MTU}, or 1 for the bridge's own"
        )


def check_storage_network(root: Values, machines: int | None, usable: Usable, problems: Problems) -> None:
    """Note what is wrong with `network.storage`.

    Args:
        root: The inventory.
        machines: How many there are to be, or None where that is not known.
        usable: Whether a host of a network may have an address.
        problems: Takes what is wrong.
    """
    network = root.get(table_network.NETWORK)
    if network is None:
        return
    check_mtu(network, table_network.MTU, problems)
    storage = network.get(table_network.STORAGE_NETWORK) if network.given(table_network.STORAGE_NETWORK) else None
    if storage is None:
        return
    check_mtu(storage, table_network.STORAGE_MTU, problems)
    if not storage.given(table_network.STORAGE_BRIDGE):
        problems.add(storage.where, "needs its bridge", "such as bridge: vmbr1")
    _check_addresses(storage, machines, usable, problems)
    _check_apart(root, network, storage, problems)


def check_pool_networks(root: Values, pools: Iterable[Values], problems: Problems) -> None:
    """Note pools in a VLAN of their own where all addresses are of one network."""
    network = root.get(table_network.NETWORK)
    if network is None or not network.given(table_network.ADDRESSES):
        return
    for pool in pools:
        own = pool.get(table_network.POOL_NETWORK)
        vlan = own.get(table_network.POOL_VLAN) if own is not None else None
        if own is None or vlan is None or vlan == network.get(table_network.VLAN):
            continue
        problems.add(
            own.at(table_network.POOL_VLAN),
            f"VLAN {vlan} is another network than that of network.addresses",
            "leave it out, or leave network.addresses out: DHCP serves each VLAN its own",
        )


def _check_addresses(storage: Values, machines: int | None, usable: Usable, problems: Problems) -> None:
    addresses, where = storage.get(table_network.STORAGE_ADDRESSES), storage.at(table_network.STORAGE_ADDRESSES)
    if addresses is None:
        return
    if not storage.given(table_network.STORAGE_SUBNET):
        guess = IPv4Network((addresses.first, 24), strict=False)
        problems.add(where, "fixed addresses need the subnet they are in", f"add subnet: {guess}")
    subnet = storage.get(table_network.STORAGE_SUBNET)
    if subnet is not None and not (usable(addresses.first, subnet) and usable(addresses.last, subnet)):
        problems.add(where, f"{addresses.first}-{addresses.last} leaves the subnet {subnet}")
    if machines is not None and len(addresses) < machines:
        problems.add(where, f"{len(addresses)} addresses for {machines} machines", "widen the range")


def _check_apart(root: Values, network: Values, storage: Values, problems: Problems) -> None:
    """Two interfaces in one network: the guest would answer through either of them."""
    subnet, k3s = storage.get(table_network.STORAGE_SUBNET), root.get(table.K3S)
    others = [("network.subnet", network.get(table_network.SUBNET))]
    if k3s is not None:
        for key, default in ((table.CLUSTER_CIDR, "10.42.0.0/16"), (table.SERVICE_CIDR, "10.43.0.0/16")):
            given = k3s.get(key)
            others.append((f"k3s.{key.name}", given.v4 if given is not None else _unless(k3s, key, default)))
    for name, other in others:
        if subnet is not None and other is not None and subnet.overlaps(other):
            problems.add(storage.at(table_network.STORAGE_SUBNET), f"{subnet} overlaps {name} {other}")


def _unless(section: Values, key: Field[Cidrs], default: str) -> IPv4Network | None:
    """The default of a key that is not given; None for one that is given and wrong."""
    return None if section.given(key) else IPv4Network(default)

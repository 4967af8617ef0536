"""What single values cannot tell: whether they go together, and whether the files they name are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bootstrap.inventory.checks.ipv6 import check_ipv6
from bootstrap.inventory.checks.machines import check_machines
from bootstrap.inventory.checks.network import check_pool_networks, check_storage_network
from bootstrap.inventory.files import Places, check_ca_file, check_directory, check_private_key
from bootstrap.inventory.keys import all as table
from bootstrap.inventory.keys import backup as table_backup
from bootstrap.inventory.keys import hardware as table_hardware
from bootstrap.inventory.keys import network as table_network
from bootstrap.inventory.keys import pools as table_pools
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.containers import Field, Values
from bootstrap.inventory.values.ipv6_formats import Cidrs
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.model.cluster import BuildPolicy
from bootstrap.model.ids import PoolName

WORKERS_POOL: Final = PoolName("workers")
_K3S_PODS: Final = IPv4Network("10.42.0.0/16")
_K3S_SERVICES: Final = IPv4Network("10.43.0.0/16")


def check(root: Values, places: Places, problems: Problems) -> None:
    """Note every contradiction; a value that is wrong by itself is left out of all checks."""
    _check_addresses(root, problems)
    _check_gateway(root, problems)
    _check_vip(root, problems)
    _check_pools(root, problems)
    check_machines(root.get(table.CONTROL_PLANE), tuple(values for _name, values in worker_pools(root) or ()), problems)
    _check_pve_nodes(root, problems)
    check_storage_network(root, machine_count(root), _usable, problems)
    check_ipv6(root, problems)
    _check_networks_apart(root, problems)
    _check_vmids(root, problems)
    _check_template(root, problems)
    _check_k3s_source(root, problems)
    _check_bucket(root, problems)
    _check_files(root, places, problems)


def worker_pools(root: Values) -> tuple[tuple[PoolName, Values], ...] | None:
    """All pools of agents, `workers` first; None where one of them cannot be made out.

    Without `workers` and without `pools` there is one machine in the pool `workers`.
    """
    pools: list[tuple[PoolName, Values]] = []
    if root.given(table.WORKERS) or not root.given(table.POOLS):
        workers = root.get(table.WORKERS)
        if workers is None:
            return None
        pools.append((WORKERS_POOL, workers))
    further = root.get(table.POOLS) if root.given(table.POOLS) else ()
    return None if further is None else (*pools, *further)


def machine_count(root: Values) -> int | None:
    """How many machines the inventory wants, or None where a count is wrong."""
    control_plane = root.get(table.CONTROL_PLANE)
    pools = worker_pools(root)
    if control_plane is None or pools is None:
        return None
    counts = [control_plane.get(table_pools.SERVERS), *(values.get(table_pools.COUNT) for _name, values in pools)]
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _check_addresses(root: Values, problems: Problems) -> None:
    network = root.get(table_network.NETWORK)
    if network is None or (addresses := network.get(table_network.ADDRESSES)) is None:
        return
    where = network.at(table_network.ADDRESSES)
    if not network.given(table_network.SUBNET):
        guess = IPv4Network((addresses.first, 24), strict=False)
        problems.add(where, "fixed addresses need the subnet they are in", f"add subnet: {guess}")
    subnet = network.get(table_network.SUBNET)
    if subnet is not None and not (_usable(addresses.first, subnet) and _usable(addresses.last, subnet)):
        problems.add(where, f"{addresses.first}-{addresses.last} leaves the subnet {subnet}", _usable_hint(subnet))
    for what, address, at in _neighbours(root, network):
        if address in addresses:
            problems.add(at, f"{what} {address} lies among the machines' addresses", "leave it out of the range")
    wanted = machine_count(root)
    if wanted is not None and len(addresses) < wanted:
        problems.add(
            where,
            f"{_amount(len(addresses), 'address', 'es')} for {_amount(wanted, 'machine', 's')}",
            "widen the range",
        )


def _neighbours(root: Values, network: Values) -> Iterator[tuple[str, IPv4Address, Where]]:
    """Addresses that machines must not get."""
    gateway = network.get(table_network.GATEWAY)
    if gateway is not None:
        yield "the gateway", gateway, network.at(table_network.GATEWAY)
    for index, server in enumerate(network.get(table_network.DNS) or ()):
        at = network.at(table_network.DNS)
        if isinstance(server, IPv4Address) and server != gateway:
            yield "the DNS server", server, at.item(index, at.line)
    proxmox = root.get(table.PROXMOX)
    url = proxmox.get(table.ENDPOINT) if proxmox is not None else None
    if proxmox is None or url is None:
        return
    try:
        yield "the Proxmox endpoint", IPv4Address(urlsplit(url).hostname or ""), proxmox.at(table.ENDPOINT)
    except AddressValueError:
        return  # a host name; which address it has is not for us to ask here


def _check_gateway(root: Values, problems: Problems) -> None:
    network = root.get(table_network.NETWORK)
    if network is None or not network.given(table_network.GATEWAY):
        return
    where = network.at(table_network.GATEWAY)
    if not network.given(table_network.ADDRESSES):
        problems.add(where, "has no effect without addresses", "with DHCP the gateway comes from there: take it out")
        return
    gateway, subnet = network.get(table_network.GATEWAY), network.get(table_network.SUBNET)
    if gateway is not None and subnet is not None and not _usable(gateway, subnet):
        problems.add(where, f"{gateway} is not in the subnet {subnet}", _usable_hint(subnet))


def _check_vip(root: Values, problems: Problems) -> None:
    control_plane, network = root.get(table.CONTROL_PLANE), root.get(table_network.NETWORK)
    vip = (
        control_plane.get(table_pools.VIP)
        if control_plane is not None and control_plane.given(table_pools.VIP)
        else None
    )
    if vip is None:
        return
    if not vip.given(table_pools.VIP_ADDRESS):
        problems.add(vip.where, "needs its address", "such as vip: 192.168.1.40")
        return
    address = vip.get(table_pools.VIP_ADDRESS)
    if address is None or network is None:
        return
    where, subnet, addresses = (
        vip.at(table_pools.VIP_ADDRESS),
        network.get(table_network.SUBNET),
        network.get(table_network.ADDRESSES),
    )
    if subnet is not None and not _usable(address, subnet):
        problems.add(where, f"{address} is not in the machines' subnet {subnet}", _usable_hint(subnet))
    if addresses is not None and address in addresses:
        problems.add(where, f"{address} lies among the machines' addresses", "choose one beside that range")
    for what, other, _at in _neighbours(root, network):
        if address == other:
            problems.add(where, f"{address} is {what}", "choose one that nobody has")


def _check_pools(root: Values, problems: Problems) -> None:
    control_plane = root.get(table.CONTROL_PLANE)
    servers = [control_plane] if control_plane is not None else []
    pools = (*servers, *(values for _name, values in worker_pools(root) or ()))
    check_pool_networks(root, pools, problems)
    for pool in pools:
        disk = pool.get(table_hardware.DATA_DISK) if pool.given(table_hardware.DATA_DISK) else None
        if disk is not None and not disk.given(table_hardware.DATA_SIZE):
            problems.add(disk.where, "needs its size", "such as data_disk: 200GiB")
        for device in pool.get(table_hardware.DEVICES) or ():
            if not device.given(table_hardware.MAPPING):
                problems.add(device.where, "needs its mapping", "such as {mapping: gpu0}")


def _check_pve_nodes(root: Values, problems: Problems) -> None:
    proxmox = root.get(table.PROXMOX)
    nodes = proxmox.get(table.PVE_NODES) if proxmox is not None else None
    if proxmox is None or not nodes:
        return
    for node in nodes:
        if not node.given(table.PVE_NODE_NAME):
            problems.add(node.where, "needs its name", "such as {name: pve1, weight: 2}")
    if all(node.get(table.PVE_NODE_MAINTENANCE) for node in nodes):
        hint = "name those, too, that machines may go to"
        problems.add(proxmox.at(table.PVE_NODES), "all of them are in maintenance", hint)


@dataclass(frozen=True, kw_only=True)
class _Network:
    """One of the networks that must be apart, and whether the user wrote it."""

    name: str
    network: IPv4Network | None
    where: Where
    given: bool


def _check_networks_apart(root: Values, problems: Problems) -> None:
    network, k3s = root.get(table_network.NETWORK), root.get(table.K3S)
    if network is None or k3s is None:
        return
    pods = _cidr(k3s, table.CLUSTER_CIDR, _K3S_PODS)
    services = _cidr(k3s, table.SERVICE_CIDR, _K3S_SERVICES)
    key = table_network.SUBNET
    subnet = _Network(name=key.name, network=network.get(key), where=network.at(key), given=network.given(key))
    for one, other in ((pods, services), (pods, subnet), (services, subnet)):
        if one.network is None or other.network is None or not one.network.overlaps(other.network):
            continue
        # Told where the user wrote one of the two: k3s's defaults stand nowhere.
        where = other.where if other.given else one.where
        message = f"{other.name} {other.network} overlaps {one.name} {one.network}"
        problems.add(where, message, "choose networks that are apart")


def _cidr(k3s: Values, key: Field[Cidrs], default: IPv4Network) -> _Network:
    found, given = k3s.get(key), k3s.given(key)
    network = found.v4 if found is not None else None if given else default
    return _Network(name=key.name, network=network, where=k3s.at(key), given=given)


def _check_vmids(root: Values, problems: Problems) -> None:
    proxmox = root.get(table.PROXMOX)
    vmids = proxmox.get(table.VMIDS) if proxmox is not None else None
    wanted = machine_count(root)
    if proxmox is None or vmids is None or wanted is None:
        return
    size = vmids.last - vmids.first + 1
    if size < wanted:
        problems.add(
            proxmox.at(table.VMIDS),
            f"{_amount(size, 'vmid', 's')} for {_amount(wanted, 'machine', 's')}",
            "widen the range",
        )


def _check_template(root: Values, problems: Problems) -> None:
    template = root.get(table.TEMPLATE)
    if template is None or template.given(table.TEMPLATE_IMAGE):
        return
    if template.given(table.TEMPLATE_CHECKSUM):
        problems.add(template.at(table.TEMPLATE_CHECKSUM), "is an image's, and none is named", "name it as image")
    named = any(map(template.given, (table.TEMPLATE_NAME, table.TEMPLATE_TAG, table.TEMPLATE_VMID)))
    if named and template.given(table.TEMPLATE_BUILD) and template.get(table.TEMPLATE_BUILD) == BuildPolicy.AUTO:
        problems.add(
            template.at(table.TEMPLATE_BUILD),
            "a template that somebody else made cannot be built",
            "name an image instead, such as image: debian-13",
        )


def _check_k3s_source(root: Values, problems: Problems) -> None:
    k3s = root.get(table.K3S)
    if k3s is None or not (k3s.given(table.ARTIFACTS) and k3s.given(table.CHANNEL)):
        return
    # From the environment, artifacts are this machine's way to get k3s; in the file both are a contradiction.
    if k3s.at(table.ARTIFACTS).line is not None:
        problems.add(k3s.at(table.CHANNEL), "a channel has no effect on artifacts", "keep one of channel and artifacts")


def _check_bucket(root: Values, problems: Problems) -> None:
    backup = root.get(table_backup.BACKUP)
    s3 = backup.get(table_backup.S3) if backup is not None and backup.given(table_backup.S3) else None
    if s3 is not None and not s3.given(table_backup.BUCKET):
        problems.add(s3.where, "needs a bucket", "such as bucket: k3s-snapshots")


def _check_files(root: Values, places: Places, problems: Problems) -> None:
    proxmox, ssh, k3s = root.get(table.PROXMOX), root.get(table.SSH), root.get(table.K3S)
    tls = proxmox.get(table.TLS) if proxmox is not None else None
    named: tuple[tuple[Values | None, Field[Path], Callable[[Path], None]], ...] = (
        (tls, table.CA_FILE, check_ca_file),
        (ssh, table.PRIVATE_KEY, check_private_key),
        (k3s, table.ARTIFACTS, check_directory),
    )
    for section, key, check_file in named:
        path = section.get(key) if section is not None else None
        if section is None or path is None:
            continue
        try:
            check_file(places.resolve(path))
        except RefusedError as refused:
            problems.add(section.at(key), refused.message, refused.hint)


def _usable(address: IPv4Address, subnet: IPv4Network) -> bool:
    if subnet.prefixlen >= 31:
        return address in subnet
    return subnet.network_address < address < subnet.broadcast_address


def _usable_hint(subnet: IPv4Network) -> str:
    if subnet.prefixlen >= 31:
        return ""
    return f"hosts there are {subnet.network_address + 1} to {subnet.broadcast_address - 1}"


def _amount(number: int, noun: str, plural: str) -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"

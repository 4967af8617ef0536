"""What the product knows of a cluster, as add-ons use it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bootstrap.k3s.dual_stack import PODS, SERVICES
from bootstrap.model.access.endpoint import TlsSpec
from bootstrap.model.cluster import ClusterSpec, StaticAddresses
from bootstrap.model.machine import MachineKind


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Addresses that are somebody's.

    Attributes:
        whose: As it reads after "overlaps": `the machines' addresses (network.addresses)`.
    """

    whose: str
    first: IPv4Address
    last: IPv4Address


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an add-on's templates may use.

    Attributes:
        cluster: The cluster's name.
        api_host: The API's name or VIP, or None where it is a server's address.
        pve_api: Proxmox VE's API: `https://HOST:8006/api2/json`.
        pve_insecure: Whether its certificate is not checked by a CA: neither the system's nor the inventory's file.
        pve_pinned: Whether its certificate is known by its fingerprint, which other clients cannot check.
        pve_ca: The PEM text of its CA, where the inventory names a file.
        storages: Proxmox storages that the inventory names.
        pod_network, service_network: k3s's IPv4 networks.
        servers, workers: How many machines.
        subnets: The machines' networks, as far as the inventory says.
        taken: Addresses that services cannot have.
        containers: Whether there are pools of containers.
        zones: Whether nodes have zone and region labels of Proxmox.
        ipv6: Whether there is IPv6 besides IPv4.
        disabled: Packaged components that k3s leaves out, as the user says.
    """

    cluster: str
    api_host: str | None = None
    pve_api: str = ""
    pve_insecure: bool = False
    pve_pinned: bool = False
    pve_ca: str | None = None
    storages: tuple[str, ...] = ()
    pod_network: IPv4Network = PODS
    service_network: IPv4Network = SERVICES
    servers: int = 1
    workers: int = 0
    subnets: tuple[IPv4Network, ...] = ()
    taken: tuple[Taken, ...] = ()
    containers: bool = False
    zones: bool = True
    ipv6: bool = False
    disabled: tuple[str, ...] = ()


def facts_of(spec: ClusterSpec, *, url: str = "", tls: TlsSpec | None = None, ca: str | None = None) -> Facts:
    """The facts of a cluster.

    Args:
        spec: The cluster.
        url: Of the Proxmox VE API, without a path.
        tls: How its certificate is checked.
        ca: The PEM text of its CA file.
    """
    network = spec.network
    static = network.addresses
    subnets = (static.subnet if static is not None else None, network.subnet)
    return Facts(
        cluster=str(spec.name),
        api_host=spec.api_host,
        pve_api=f"{url.rstrip('/')}/api2/json" if url else "",
        pve_insecure=tls is not None and tls.insecure,
        pve_pinned=tls is not None and tls.fingerprint is not None,
        pve_ca=ca,
        storages=tuple(_storages(spec)),
        pod_network=spec.k3s.cluster_cidr or PODS,
        service_network=spec.k3s.service_cidr or SERVICES,
        servers=spec.control_plane.count,
        workers=sum(pool.count for pool in spec.workers),
        subnets=tuple(dict.fromkeys(each for each in subnets if each is not None)),
        taken=tuple(_taken(spec)),
        containers=any(pool.kind is MachineKind.LXC for pool in spec.pools),
        zones=spec.labels_from_proxmox,
        ipv6=network.ipv6 is not None,
        disabled=spec.k3s.disable,
    )


def _storages(spec: ClusterSpec) -> dict[str, None]:
    named = (spec.placement.storage, *(pool.storage for pool in spec.pools))
    return dict.fromkeys(str(each) for each in named if each is not None)


def _taken(spec: ClusterSpec) -> Iterator[Taken]:
    network = spec.network
    if network.addresses is not None:
        yield _range(network.addresses, "the machines' addresses (network.addresses)")
        if network.addresses.gateway is not None:
            yield _one(network.addresses.gateway, "the gateway (network.addresses.gateway)")
    if network.storage is not None and network.storage.addresses is not None:
        yield _range(network.storage.addresses, "the storage network's addresses (network.storage.addresses)")
    if spec.vip is not None:
        yield _one(spec.vip.address, "the API's address (control_plane.vip)")
    for server in network.dns:
        if isinstance(server, IPv4Address):
            yield _one(server, "a DNS server (network.dns)")
    yield _network(spec.k3s.cluster_cidr or PODS, "the pods' network (k3s.cluster_cidr)")
    yield _network(spec.k3s.service_cidr or SERVICES, "the services' network (k3s.service_cidr)")


def _range(addresses: StaticAddresses, whose: str) -> Taken:
    return Taken(whose=whose, first=addresses.first, last=addresses.last)


def _one(address: IPv4Address, whose: str) -> Taken:
    return Taken(whose=whose, first=address, last=address)


def _network(network: IPv4Network, whose: str) -> Taken:
    return Taken(whose=whose, first=network[0], last=network[-1])

"""Networks in the inventory: of pools, of storage, of both address families."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network

import pytest

from bootstrap.model.ipv6 import IPv6Method, IPv6Spec, StaticAddresses6
from bootstrap.model.machine import PoolNetwork
from tests.unit.inventory.kit import Load, Told

SUBNET6 = IPv6Network("fd12::/64")
STATIC = "network: {addresses: 192.168.1.50-192.168.1.60, subnet: 192.168.1.0/24, vlan: 30}\n"


def test_a_pool_may_have_its_bridge_and_vlan(load: Load) -> None:
    spec = load("pools: {gpu: {network: {bridge: vmbr1, vlan: 40}}}\n").spec
    assert spec.workers[0].network == PoolNetwork(bridge="vmbr1", vlan=40)
    assert spec.control_plane.network == PoolNetwork()


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (STATIC + "workers: {network: {vlan: 40}}", "workers.network.vlan", "VLAN 40 is another network"),
        (STATIC + "pools: {gpu: {network: {vlan: 40}}}", "pools.gpu.network.vlan", "VLAN 40 is another network"),
    ],
)
def test_what_does_not_go_together(told: Told, text: str, path: str, message: str) -> None:
    (problem,) = told(text)
    assert (problem.path, message in problem.message) == (path, True), problem


def test_a_pool_may_name_the_vlan_that_all_are_in(load: Load) -> None:
    assert load(STATIC + "workers: {network: {vlan: 30}}").spec.workers[0].network.vlan == 30


RANGE6 = "addresses: 'fd12::50-fd12::60', subnet: 'fd12::/64'"
BOTH = "network: {addresses: 192.168.1.50-192.168.1.60, subnet: 192.168.1.0/24, ipv6: {%s}}\n"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("network: {ipv6: auto}", IPv6Spec()),
        ("network: {ipv6: dhcp}", IPv6Spec(method=IPv6Method.DHCP)),
        ("network: {ipv6: {subnet: 'fd12::/64'}}", IPv6Spec(subnet=SUBNET6)),
        (
            BOTH % f"{RANGE6}, gateway: 'fe80::1'",
            IPv6Spec(
                subnet=SUBNET6,
                addresses=StaticAddresses6(
                    first=SUBNET6[0x50], last=SUBNET6[0x60], subnet=SUBNET6, gateway=IPv6Address("fe80::1")
                ),
            ),
        ),
        ("network: {}", None),
    ],
)
def test_ipv6_reaches_the_specification(load: Load, text: str, spec: IPv6Spec | None) -> None:
    assert load(text).spec.network.ipv6 == spec


@pytest.mark.parametrize(
    "cidrs", ["[10.52.0.0/16, 'fd42::/56']", "10.52.0.0/16,fd42::/56", "'10.52.0.0/16, fd42::/56'"]
)
def test_k3ss_networks_may_be_of_both_families(load: Load, cidrs: str) -> None:
    text = f"network: {{ipv6: auto}}\nk3s:\n  cluster_cidr: {cidrs}\n"
    k3s = load(text).spec.k3s
    assert (k3s.cluster_cidr, k3s.cluster_cidr6) == (IPv4Network("10.52.0.0/16"), IPv6Network("fd42::/56"))
    assert (k3s.service_cidr, k3s.service_cidr6) == (None, None)


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("network: {ipv6: true}", "network.ipv6", "must be one of auto, dhcp", ""),
        ("network: {ipv6: {gateway: 'fe80::1'}}", "network.ipv6.gateway", "no effect without addresses", "advertise"),
        (f"network: {{ipv6: {{{RANGE6}}}}}", "network.ipv6.addresses", "place in network.addresses", "advertise"),
        (BOTH % f"{RANGE6}, method: auto", "network.ipv6.method", "no effect with addresses", "keep only one"),
        (BOTH % "addresses: 'fd12::50-fd12::60'", "network.ipv6.addresses", "need the subnet", "fd12::/64"),
        (BOTH % "addresses: 'fd12::50-fd13::60', subnet: 'fd12::/64'", "network.ipv6.addresses", "is outside the", ""),
        (BOTH % "addresses: 'fd12::-fd12::60', subnet: 'fd12::/64'", "network.ipv6.addresses", "routers", "later"),
        (
            BOTH % "addresses: 'fd12::50-fd12::51', subnet: 'fd12::/64'",
            "network.ipv6.addresses",
            "2 addresses",
            "widen",
        ),
        (BOTH % f"{RANGE6}, gateway: 'fd13::1'", "network.ipv6.gateway", "neither link-local nor", ""),
        (BOTH % f"{RANGE6}, gateway: 'fd12::55'", "network.ipv6.gateway", "is within the range", "leave it out"),
        ("network: {ipv6: {subnet: 192.168.1.0/24}}", "network.ipv6.subnet", "IPv6 network", ""),
        ("network: {ipv6: {subnet: 'fd12::1/64'}}", "network.ipv6.subnet", "host bits", "write fd12::/64"),
        ("k3s: {cluster_cidr: 'fd42::/56'}", "k3s.cluster_cidr", "IPv6 alone is not supported", "IPv4 network first"),
        ("k3s: {cluster_cidr: ['fd42::/56']}", "k3s.cluster_cidr", "IPv6 alone is not supported", ""),
        ("k3s: {cluster_cidr: [10.1.0.0/16, 'fd42::/56', 'fd43::/56']}", "k3s.cluster_cidr", "has 3 networks", "IPv4"),
        (
            "k3s: {cluster_cidr: [10.1.0.0/16, 'fd42::/56']}",
            "k3s.cluster_cidr",
            "needs machines with IPv6",
            "ipv6: auto",
        ),
        (
            "network: {ipv6: auto}\nk3s: {service_cidr: [10.43.0.0/16, 'fd42::/64']}",
            "k3s.service_cidr",
            "has a size that Kubernetes does not support",
            "/108",
        ),
        (
            "network: {ipv6: {subnet: 'fd42::/64'}}\nk3s: {cluster_cidr: [10.42.0.0/16, 'fd42::/56']}",
            "k3s.cluster_cidr",
            "overlaps network.ipv6.subnet",
            "overlap",
        ),
        (
            "{network: {ipv6: auto}, k3s: {cluster_cidr: '10.1.0.0/16,f2::/56', service_cidr: '10.2.0.0/16,f2::/112'}}",
            "k3s.service_cidr",
            "overlaps cluster_cidr",
            "overlap",
        ),
    ],
)
def test_ipv6_that_cannot_be(told: Told, text: str, path: str, message: str, hint: str) -> None:
    (problem,) = told(text)
    assert (problem.path, message in problem.message, hint in problem.hint) == (path, True, True), problem

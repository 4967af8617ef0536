"""Dual stack: which IPv6 address is a machine's, what k3s and the VM are told, what cannot be changed."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import PreflightError
from bootstrap.k3s.config import render_config
from bootstrap.k3s.dual_stack import (
    choose_address6,
    cluster_networks,
    interface_id,
    local_prefix,
    own_address6,
)
from bootstrap.model.cluster import ClusterSpec, K3sSpec, NetworkSpec, StaticAddresses
from bootstrap.model.ids import ClusterName
from bootstrap.model.ipv6 import IPv6Method, IPv6Spec, StaticAddresses6
from bootstrap.model.observed import GuestInterface
from bootstrap.planning.checks.preflight import check_pod_ranges
from bootstrap.planning.verbs.up import plan_up
from bootstrap.planning.view import ClusterView
from tests.fakes.seen import seen, vm
from tests.fakes.specs import cluster
from tests.unit.planning.test_texts import AGENT, MAC, SERVER, VM, settings

AUTO = NetworkSpec(ipv6=IPv6Spec())
ULA, GLOBAL = IPv6Network("fd12:3456:789a::/64"), IPv6Network("2a00:1450:4001:80::/64")
LINK_LOCAL = IPv6Address("fe80::1")
HOST = interface_id(MAC)
OWN4, OWN6 = IPv4Address("192.0.2.50"), ULA[0x50]
STATIC = NetworkSpec(
    addresses=StaticAddresses(first=OWN4, last=IPv4Address("192.0.2.59"), subnet=IPv4Network("192.0.2.0/24")),
    ipv6=IPv6Spec(subnet=ULA, addresses=StaticAddresses6(first=OWN6, last=ULA[0x59], subnet=ULA, gateway=LINK_LOCAL)),
)
HOSTS = st.integers(min_value=1, max_value=2**64 - 1)


def spec_of(network: NetworkSpec, **k3s: object) -> ClusterSpec:
    return replace(cluster(agents=1), network=network, k3s=replace(K3sSpec(), **k3s))  # type: ignore[arg-type]


def told(*addresses: IPv6Address, mac: str = MAC) -> tuple[GuestInterface, ...]:
    pods = GuestInterface(name="cni0", mac="0A:00:00:00:00:01", addresses=(), addresses6=(IPv6Address("fd00::1"),))
    return pods, GuestInterface(name="eth0", mac=mac, addresses=(OWN4,), addresses6=addresses)


def choose(*addresses: IPv6Address, subnet: IPv6Network | None = None) -> IPv6Address | str:
    return choose_address6(told(*addresses), mac=MAC, subnet=subnet, fixed=None)


def config(spec: ClusterSpec, *, agent: bool = False) -> dict[str, object]:
    machine = AGENT if agent else SERVER
    text = render_config(spec, machine, address=OWN4, address6=OWN6, etcd=False, join=OWN4 if agent else None)
    loaded: dict[str, object] = yaml.safe_load(text)
    return loaded


# the address


def test_the_interface_id_is_that_of_the_standard() -> None:
    """RFC 4291, appendix A: 34-56-78-9A-BC-DE becomes 36-56-78-FF-FE-9A-BC-DE."""
    assert interface_id("34:56:78:9A:BC:DE") == 0x365678FFFE9ABCDE


@given(hosts=st.lists(HOSTS, min_size=1, unique=True), order=st.randoms(use_true_random=False))
def test_the_choice_does_not_hang_on_the_order_they_are_told_in(hosts: list[int], order: object) -> None:
    addresses = [ULA[host] for host in hosts] + [GLOBAL[host] for host in hosts] + [LINK_LOCAL]
    first = choose(*addresses)
    order.shuffle(addresses)  # type: ignore[attr-defined]
    assert choose(*addresses) == first
    assert first in ULA


@given(others=st.lists(HOSTS, unique=True))
def test_the_one_made_of_the_mac_address_comes_before_privacy_addresses(others: list[int]) -> None:
    assert choose(*(GLOBAL[host] for host in others), GLOBAL[HOST]) == GLOBAL[HOST]


@given(hosts=st.lists(HOSTS, unique=True))
def test_a_subnet_that_is_given_decides(hosts: list[int]) -> None:
    own = GLOBAL[7]
    assert choose(*(ULA[host] for host in hosts), own, subnet=GLOBAL) == own


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        ((), "eth0 has no IPv6 address yet but link-local ones"),
        ((LINK_LOCAL, IPv6Address("::1"), IPv6Address("ff02::1")), "no IPv6 address yet"),
        ((GLOBAL[5],), f"eth0 has {GLOBAL[5]}, none of which is in {ULA}"),
    ],
)
def test_why_there_is_none_is_told(addresses: tuple[IPv6Address, ...], words: str) -> None:
    answer = choose(*addresses, subnet=ULA)
    assert isinstance(answer, str)
    assert words in answer
    assert "no interface has net0's MAC" in str(
        choose_address6(told(mac="02:00:00:00:00:99"), mac=MAC, subnet=None, fixed=None)
    )


def test_what_counts_is_how_the_machine_was_made() -> None:
    seen_now = told(ULA[HOST], OWN6)
    assert own_address6(seen_now, replace(VM, ip6="auto"), IPv6Spec()) == ULA[HOST]
    assert own_address6(seen_now, replace(VM, ip6=f"{ULA[9]}/64"), IPv6Spec()) == (
        f"eth0 does not have {ULA[9]} as configured yet"
    )
    assert own_address6(seen_now, replace(VM, ip6=f"{OWN6}/64"), IPv6Spec()) == OWN6
    assert own_address6(seen_now, VM, IPv6Spec()) is None, "an IPv4 machine that an inventory wants to change"
    assert own_address6(seen_now, replace(VM, ip6="auto"), None) is None


# what the VM is told


@pytest.mark.parametrize(
    ("network", "address", "wanted"),
    [
        (AUTO, None, "ip=dhcp,ip6=auto"),
        (NetworkSpec(ipv6=IPv6Spec(method=IPv6Method.DHCP)), None, "ip=dhcp,ip6=dhcp"),
        (STATIC, OWN4, f"ip=192.0.2.50/24,ip6={ULA[0x50]}/64,gw6=fe80::1"),
        (STATIC, OWN4 + 9, f"ip=192.0.2.59/24,ip6={ULA[0x59]}/64,gw6=fe80::1"),
        (STATIC, OWN4 + 10, "ip=192.0.2.60/24,ip6=auto"),  # of a range that has been narrowed since
    ],
)
def test_cloud_init_is_told_by_proxmox(network: NetworkSpec, address: IPv4Address | None, wanted: str) -> None:
    got = settings(spec_of(network), machine=replace(SERVER, address=address))
    assert got["ipconfig0"] == wanted


# what k3s is told


def test_servers_have_both_families_and_agents_their_addresses() -> None:
    server, agent = config(spec_of(AUTO)), config(spec_of(AUTO), agent=True)
    assert server["node-ip"] == agent["node-ip"] == f"{OWN4},{OWN6}"
    assert server["tls-san"] == [str(OWN4), str(OWN6)]
    own = local_prefix(cluster().name)
    assert server["cluster-cidr"] == f"10.42.0.0/16,{own.network_address}/56"
    assert str(server["service-cidr"]).startswith("10.43.0.0/16,fd")
    assert server["flannel-ipv6-masq"] is True
    assert agent["server"] == f"https://{OWN4}:6443"
    assert not {"cluster-cidr", "service-cidr", "flannel-ipv6-masq"} & agent.keys()


def test_without_ipv6_nothing_is_said_of_it() -> None:
    text = render_config(cluster(), SERVER, address=OWN4, etcd=False, join=None)
    assert yaml.safe_load(text)["node-ip"] == str(OWN4)
    assert not {"cluster-cidr", "service-cidr", "flannel-ipv6-masq"} & yaml.safe_load(text).keys()


def test_networks_of_the_users_own_are_taken() -> None:
    pods, services = IPv6Network("2001:db8:42::/56"), IPv6Network("2001:db8:43::/112")
    got = config(spec_of(AUTO, cluster_cidr6=pods, service_cidr6=services))
    assert (got["cluster-cidr"], got["service-cidr"]) == (f"10.42.0.0/16,{pods}", f"10.43.0.0/16,{services}")
    assert "flannel-ipv6-masq" not in got, "pods that can be routed to are not hidden behind their node"


@given(name=st.from_regex("[a-z][a-z0-9-]{0,30}", fullmatch=True), length=st.integers(min_value=8, max_value=24))
def test_made_up_networks_are_local_apart_and_as_roomy_as_those_of_ipv4(name: str, length: int) -> None:
    cidr = IPv4Network(("10.0.0.0", length))
    spec = replace(spec_of(AUTO, cluster_cidr=cidr), name=ClusterName(name))
    networks = cluster_networks(spec)
    pods, services = networks.pods[1], networks.services[1]
    assert isinstance(pods, IPv6Network)
    assert isinstance(services, IPv6Network)
    assert pods.subnet_of(IPv6Network("fd00::/8"))
    assert services.subnet_of(IPv6Network("fd00::/8"))
    assert not pods.overlaps(services)
    assert 64 - pods.prefixlen == min(24 - length, 15)
    assert cluster_networks(spec) == networks


def test_the_scarcer_family_bounds_the_machines() -> None:
    spec = spec_of(AUTO, cluster_cidr6=IPv6Network("fd42::/62"))
    check_pod_ranges(spec, 4)
    with pytest.raises(PreflightError, match="fd42::/62 has room for 4") as refused:
        check_pod_ranges(spec, 5)
    assert refused.value.details == "k3s gives each node a /64 of it"


# a cluster that is there


@pytest.mark.parametrize(
    ("made_with", "network", "words", "undo"),
    [
        (None, AUTO, "was created for IPv4 alone, but the inventory says IPv6 too", "remove network.ipv6"),
        (
            "auto",
            NetworkSpec(),
            "was created for IPv4 and IPv6, but the inventory says IPv4 alone",
            "restore network.ipv6",
        ),
    ],
)
def test_the_families_of_a_cluster_are_not_changed(
    made_with: str | None, network: NetworkSpec, words: str, undo: str
) -> None:
    spec = spec_of(network)
    there = seen(replace(vm(spec.control_plane, 1), ip6=made_with))
    with pytest.raises(PreflightError, match=words) as refused:
        plan_up(ClusterView(spec, there), version="v1.33.3+k3s1")
    assert undo in refused.value.resolution
    assert "homelab-k8s rebuild" in refused.value.resolution
    fits = replace(spec, network=AUTO if made_with else NetworkSpec())
    assert plan_up(ClusterView(fits, there), version="v1.33.3+k3s1").machines

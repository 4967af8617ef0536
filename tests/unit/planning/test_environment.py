"""Variables of k3s's units: what NO_PROXY has, what systemd reads of the file, and what never gets into it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import GuestSetupError
from bootstrap.inventory.values.environment_formats import check_value
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.k3s.environment import (
    MARKER,
    beside_proxies,
    check_beside_proxy,
    environment_checksums,
    environment_files,
    proxy_files,
    unit_environment,
)
from bootstrap.model.cluster import ClusterSpec, K3sSpec, NetworkSpec, StaticAddresses, StorageNetwork, VipSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.ipv6 import IPv6Spec
from bootstrap.model.settings.environment import EnvironmentSpec
from tests.fakes.specs import cluster

PASSWORD = "tr0ub4dor-and-3"
PROXY = f"http://me:{PASSWORD}@proxy.home.arpa:3128"
PUBLIC = IPv4Network("203.0.113.0/24")
CP = MachineName("demo-cp-1")
SPEC = cluster(3, 2)


def with_variables(spec: ClusterSpec = SPEC, /, **variables: str) -> ClusterSpec:
    return replace(spec, k3s=replace(spec.k3s, environment=EnvironmentSpec(variables=tuple(variables.items()))))


def no_proxy(spec: ClusterSpec) -> list[str]:
    return unit_environment(spec)["NO_PROXY"].split(",")


def test_without_variables_nothing_is_written() -> None:
    spec = cluster(1, 1)
    assert (unit_environment(spec), environment_files(spec), environment_checksums(spec)) == ({}, {}, {})
    assert proxy_files(spec) == {}


def test_no_proxy_has_the_machines_pods_services_and_the_api() -> None:
    found = cluster(3, 2)
    spec = replace(
        found,
        vip=VipSpec(address=IPv4Address("203.0.113.9")),
        api_name="k8s.example.org",
        k3s=K3sSpec(cluster_cidr=IPv4Network("172.30.0.0/16"), server_config=(("cluster-domain", ("home.example",)),)),
        network=NetworkSpec(
            addresses=StaticAddresses(first=PUBLIC[10], last=PUBLIC[20], subnet=PUBLIC),
            storage=StorageNetwork(
                bridge="vmbr1",
                addresses=StaticAddresses(
                    first=IPv4Address("198.51.100.1"),
                    last=IPv4Address("198.51.100.9"),
                    subnet=IPv4Network("198.51.100.0/24"),
                ),
            ),
        ),
    )
    assert no_proxy(with_variables(spec, HTTPS_PROXY=PROXY, NO_PROXY=".example.net, .svc,")) == [
        *("localhost", "127.0.0.0/8", "203.0.113.0/24", "198.51.100.0/24"),
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
        "198.18.0.0/15",
        *("172.30.0.0/16", "10.43.0.0/16", "203.0.113.9", "k8s.example.org"),
        *(".svc", ".home.example", ".local", ".lan", ".home.arpa", ".internal", ".example.net"),
    ]


def test_with_ipv6_it_has_both_families() -> None:
    spec = replace(cluster(1, 1), network=NetworkSpec(ipv6=IPv6Spec(subnet=IPv6Network("2001:db8:1::/64"))))
    found = no_proxy(with_variables(spec, HTTP_PROXY=PROXY))
    assert {"::1", "fc00::/7", "fe80::/10", "2001:db8:1::/64", "10.42.0.0/16"} <= set(found)
    assert len([each for each in found if each.startswith("fd")]) == 2, "pods and services"


def test_more_machines_change_nothing_so_that_nothing_restarts() -> None:
    few, many = (with_variables(cluster(*counts), HTTPS_PROXY=PROXY) for counts in ((1, 0), (5, 40)))
    assert environment_files(few) == environment_files(many)


def test_containerd_alone_has_a_no_proxy_of_its_own() -> None:
    found = unit_environment(
        with_variables(CONTAINERD_HTTPS_PROXY=PROXY, CONTAINERD_NO_PROXY=".example.net", GOGC="50")
    )
    assert sorted(found) == ["CONTAINERD_HTTPS_PROXY", "CONTAINERD_NO_PROXY", "GOGC", MARKER]
    assert found["CONTAINERD_NO_PROXY"].split(",") == [*beside_proxies(cluster(3, 2)), ".example.net"]


def test_without_a_proxy_no_proxy_is_as_it_is_given() -> None:
    assert unit_environment(with_variables(NO_PROXY="a,b"))["NO_PROXY"] == "a,b"


def test_package_managers_get_k3s_proxies_and_not_those_of_containerd() -> None:
    assert proxy_files(with_variables(CONTAINERD_HTTPS_PROXY=PROXY, GOGC="50")) == {}
    text = proxy_files(with_variables(HTTPS_PROXY=PROXY, GOGC="50"))["proxies"]
    assert [line.partition("=")[0] for line in text.splitlines()] == ["https_proxy", "no_proxy"]


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.1.7", "127.88.0.1", "100.64.0.1"])
def test_private_addresses_are_beside_any_proxy(address: str) -> None:
    check_beside_proxy(with_variables(HTTPS_PROXY=PROXY), CP, IPv4Address(address))


def test_a_public_address_that_the_inventory_does_not_know_is_refused() -> None:
    spec = with_variables(HTTPS_PROXY=PROXY)
    with pytest.raises(GuestSetupError, match=r"would use the proxy also for 203.0.113.7") as refused:
        check_beside_proxy(spec, CP, PUBLIC[7])
    assert "network.subnet" in str(refused.value.resolution)
    check_beside_proxy(replace(spec, network=NetworkSpec(subnet=PUBLIC)), CP, PUBLIC[7])
    for more in ({"NO_PROXY": "203.0.113.7"}, {"NO_PROXY": "*"}):
        check_beside_proxy(with_variables(HTTPS_PROXY=PROXY, **more), CP, PUBLIC[7])
    check_beside_proxy(with_variables(GOGC="50"), CP, PUBLIC[7])


def systemd_reads(text: str) -> dict[str, str]:
    """An environment file as systemd reads it (src/basic/env-file.c), as far as one with single quotes goes."""
    found: dict[str, str] = {}
    rest = text
    while rest:
        if rest[0] in "#;":
            rest = rest.partition("\n")[2]
            continue
        name, _, rest = rest.partition("='")
        value, _, rest = rest.partition("'")
        assert rest.startswith("\n"), rest
        found[name], rest = value, rest[1:]
    return found


@given(st.dictionaries(st.sampled_from(("A", "B", "HTTP_PROXY", "NO_PROXY")), st.text(max_size=40)))
def test_systemd_reads_what_was_meant_and_no_more(variables: dict[str, str]) -> None:
    accepted = {}
    for name, value in variables.items():
        with suppress(RefusedError):
            accepted[name] = check_value(value)
    spec = with_variables(**accepted)
    assert systemd_reads(environment_files(spec).get("environment", "")) == unit_environment(spec)


@pytest.mark.parametrize(
    "value", ["a\nLD_PRELOAD=/x", "a' LD_PRELOAD='/x", "a\\", "\r", "\x00", "\u202e", "\u2028", "x" * 5000]
)
def test_what_could_be_read_as_more_is_refused(value: str) -> None:
    with pytest.raises(RefusedError):
        check_value(value)


def test_no_text_of_a_specification_has_the_passwords() -> None:
    assert PASSWORD not in repr(with_variables(HTTPS_PROXY=PROXY))

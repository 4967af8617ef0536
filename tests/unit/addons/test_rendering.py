"""Add-ons' values: what is refused, all at once, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.addons import AddonError, Facts, Finding, facts_of, needs_of, problems_of, render, with_needs
from bootstrap.addons.charts import merged
from bootstrap.addons.forms import parse_range
from bootstrap.addons.templating import fill
from bootstrap.model.cluster import K3sSpec, NetworkSpec, StaticAddresses, VipSpec
from tests.fakes.specs import cluster

HOME: Final = Facts(cluster="home", subnets=(IPv4Network("192.168.1.0/24"),))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
SMALL = st.recursive(st.integers(0, 2), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=4)


def paths(found: tuple[Finding, ...]) -> list[str]:
    return [each.path for each in found]


def test_an_unknown_add_on_is_refused_with_the_one_that_was_meant() -> None:
    (found,) = problems_of("metalb", {}, HOME)
    assert str(found) == "addon: there is no add-on 'metalb' (did you mean metallb?)"
    with pytest.raises(AddonError, match="did you mean metallb"):
        render("metalb", {}, HOME)


def test_all_mistakes_in_values_are_found_at_once() -> None:
    found = problems_of("metallb", {"adresses": ["192.168.1.240/28"], "helm": []}, HOME)
    assert paths(found) == ["values.adresses", "values.helm", "values.addresses"]
    assert found[0].hint == "did you mean addresses?"


def test_ranges_are_checked_against_what_is_taken() -> None:
    spec = replace(
        cluster(),
        network=NetworkSpec(
            addresses=StaticAddresses(
                first=IPv4Address("192.168.1.100"),
                last=IPv4Address("192.168.1.150"),
                subnet=IPv4Network("192.168.1.0/24"),
                gateway=IPv4Address("192.168.1.1"),
            ),
            dns=(IPv4Address("192.168.1.2"),),
        ),
        vip=VipSpec(address=IPv4Address("192.168.1.200")),
    )
    ranges = ["192.168.1.1-192.168.1.9", "192.168.1.140-192.168.1.210", "192.168.1.205", "10.42.1.0/24"]
    found = problems_of("metallb", {"addresses": ranges}, facts_of(spec))
    assert [f"{each.path} {each.message}" for each in found] == [
        "values.addresses[0] 192.168.1.1-192.168.1.9 overlaps the gateway (network.addresses.gateway)",
        "values.addresses[0] 192.168.1.1-192.168.1.9 overlaps a DNS server (network.dns)",
        "values.addresses[1] 192.168.1.140-192.168.1.210 overlaps the machines' addresses (network.addresses)",
        "values.addresses[1] 192.168.1.140-192.168.1.210 overlaps the API's address (control_plane.vip)",
        "values.addresses[2] 192.168.1.205-192.168.1.205 overlaps an earlier range of the list",
        "values.addresses[3] 10.42.1.0-10.42.1.255 overlaps the pods' network (k3s.cluster_cidr)",
        "values.addresses[3] 10.42.1.0-10.42.1.255 is outside of 192.168.1.0/24",
    ]


def test_values_in_the_charts_own_keys_are_merged_over_ours() -> None:
    values = {"addresses": ["192.168.1.240"], "helm": {"frrk8s": {"enabled": True}, "speaker": {"x": "${cluster}"}}}
    chart = next(each for each in render("metallb", values, HOME) if each["metadata"]["name"] == "metallb")
    content = yaml.safe_load(chart["spec"]["valuesContent"])
    assert content == {"frrk8s": {"enabled": True}, "speaker": {"x": "${cluster}"}}


def test_objects_of_kinds_that_a_chart_brings_are_in_a_chart_of_their_own() -> None:
    objects = render("metallb", {"addresses": ["192.168.1.240", "192.168.1.248/30"]}, HOME)
    assert [each["kind"] for each in objects] == ["Namespace", "HelmChart", "HelmChart"]
    pool = yaml.safe_load(objects[2]["spec"]["valuesContent"])["objects"][0]
    assert pool["spec"]["addresses"] == ["192.168.1.240-192.168.1.240", "192.168.1.248-192.168.1.251"]


def test_a_switch_leaves_objects_out() -> None:
    assert [each["metadata"]["name"] for each in render("cert-manager", {}, HOME)] == [
        "cert-manager",
        "cert-manager-home-ca",
    ]
    without = render("cert-manager", {"home_ca": False}, HOME)
    assert [each["metadata"]["name"] for each in without] == ["cert-manager"]


def test_what_add_ons_need_is_added_to_what_the_user_said() -> None:
    spec = replace(cluster(), k3s=K3sSpec(disable=("traefik",)))
    changed = with_needs(spec, needs_of(["metallb", "cert-manager", "unknown"]))
    assert changed.k3s.disable == ("traefik", "servicelb")
    assert with_needs(changed, needs_of(["metallb"])) == changed
    assert with_needs(spec, needs_of([])) == spec


@given(JSON)
def test_what_is_filled_in_is_never_read_as_a_template(value: Any) -> None:
    assert fill({"a": {"b": "${x}"}}, {"x": value}) == {"a": {} if value is None else {"b": value}}
    if isinstance(value, str):
        assert fill("<${x}>", {"x": value}) == f"<{value}>"


@given(*(st.dictionaries(st.sampled_from("abc"), SMALL, max_size=3) for _ in range(2)))
def test_merging_keeps_all_keys_and_the_second_decides(own: dict[str, Any], over: dict[str, Any]) -> None:
    both = merged(own, over)
    assert both.keys() == own.keys() | over.keys()
    assert merged(both, over) == both
    assert all(both[key] == value for key, value in over.items() if not isinstance(value, dict))


@given(JSON)
def test_any_value_at_all_is_refused_or_rendered(value: Any) -> None:
    for name, key in (("metallb", "addresses"), ("cert-manager", "home_ca")):
        if not problems_of(name, {key: value}, HOME):
            render(name, {key: value}, HOME)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_a_range_is_read_as_it_is_written(first: IPv4Address, last: IPv4Address) -> None:
    found = parse_range(f"{first}-{last}")
    assert (found is not None) == (first <= last)
    assert found is None or parse_range(str(found)) == found

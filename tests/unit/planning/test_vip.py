"""keepalived's settings."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.k3s.keepalived import CHECK, choose_peers, priority, render_keepalived, router_id
from bootstrap.model.cluster import VipSpec
from bootstrap.model.ids import ClusterName

VIP = VipSpec(address=IPv4Address("192.0.2.10"))
OWN, SECOND, THIRD = (IPv4Address(f"192.0.2.{last}") for last in (11, 12, 13))
DEMO = ClusterName("demo")


def render(*peers: IPv4Address, place: int = 0, vip: VipSpec = VIP) -> str:
    return render_keepalived(vip, cluster=DEMO, interface="ens18", address=OWN, place=place, peers=peers)


def block(text: str, name: str) -> list[str]:
    """The lines of a block, without those around them."""
    lines = [line.strip() for line in text.splitlines()]
    begin = lines.index(f"{name} {{")
    return lines[begin + 1 : lines.index("}", begin)]


def test_it_names_the_machine_s_own_address_and_all_peers() -> None:
    text = render(THIRD, SECOND)
    assert block(text, "unicast_peer") == ["192.0.2.12", "192.0.2.13"]
    assert "unicast_src_ip 192.0.2.11" in text
    assert "interface ens18" in text
    assert block(text, "virtual_ipaddress") == ["192.0.2.10/32"]


def test_the_order_of_peers_does_not_matter() -> None:
    assert render(SECOND, THIRD) == render(THIRD, SECOND)


def test_the_only_server_needs_no_peers() -> None:
    assert "unicast" not in render()


def test_who_comes_back_does_not_take_the_vip() -> None:
    instance = block(render(SECOND), "vrrp_instance vip")
    assert {"state BACKUP", "nopreempt"} <= set(instance)


def test_the_check_has_no_weight_since_nobody_would_take_over_from_a_holder_that_only_sinks() -> None:
    check = block(render(SECOND), "vrrp_script k3s_api")
    assert f"script {CHECK}" in check
    assert "fall 2" in check
    assert not [line for line in check if line.startswith("weight")]


def test_a_router_id_that_is_given_is_taken() -> None:
    text = render(SECOND, vip=VipSpec(address=VIP.address, router_id=200))
    assert "virtual_router_id 200" in text


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=32))
def test_a_router_id_follows_from_the_name_and_is_valid(name: str) -> None:
    found = router_id(VIP, cluster=ClusterName(name))
    assert 1 <= found <= 255
    assert found == router_id(VIP, cluster=ClusterName(name))


def test_clusters_have_router_ids_of_their_own() -> None:
    assert router_id(VIP, cluster=DEMO) != router_id(VIP, cluster=ClusterName("attic"))


def test_earlier_servers_come_first_and_all_are_valid() -> None:
    found = [priority(place) for place in range(9)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)
    assert min(found) >= 1
    assert max(found) < 255  # which would be the address's owner (RFC 5798)
    assert priority(40) >= 1


def test_a_server_that_will_not_be_alone_is_unicast_from_the_start() -> None:
    assert choose_peers(OWN, others=(), servers=3) == (OWN,)
    assert choose_peers(OWN, others=(), servers=1) == ()
    assert choose_peers(OWN, others=(SECOND,), servers=3) == (SECOND,)

"""The second network device: what it is set to, and which addresses machines get there."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from bootstrap.commands.observing.privileges import rights_needed
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec, MacPolicy, NetworkSpec, StaticAddresses, StorageNetwork
from bootstrap.model.machine import RecordState
from bootstrap.model.observed import VmRecord
from bootstrap.planning.checks.preflight import check_bridges
from bootstrap.planning.members.desired_machines import wanted_machines
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.macs import stable_mac
from tests.fakes.seen import seen, vm
from tests.fakes.specs import cluster
from tests.fakes.world import PVE1, TEMPLATE
from tests.unit.planning.test_texts import MAC, SERVER, VM, settings

NET = IPv4Network("10.10.0.0/24")
PLAIN = StorageNetwork(bridge="vmbr1")
STATIC = StorageNetwork(
    bridge="vmbr1", vlan=7, mtu=9000, addresses=StaticAddresses(first=NET[5], last=NET[8], subnet=NET)
)


def spec_of(storage: StorageNetwork | None, *, macs: MacPolicy = MacPolicy.PROXMOX) -> ClusterSpec:
    return replace(cluster(agents=1), network=NetworkSpec(storage=storage, macs=macs))


def addresses(spec: ClusterSpec, *vms: VmRecord) -> list[IPv4Address | None]:
    return [machine.storage_address for machine in wanted_machines(ClusterView(spec, seen(*vms)))]


def test_without_addresses_it_is_dhcp_and_proxmox_makes_the_mac_up() -> None:
    got = settings(spec_of(PLAIN))
    assert (got["net1"], got["ipconfig1"]) == ("virtio,bridge=vmbr1", "ip=dhcp")
    assert "net0" not in got


def test_with_addresses_it_has_no_gateway() -> None:
    got = settings(spec_of(STATIC), machine=replace(SERVER, storage_address=NET[5]))
    assert (got["net1"], got["ipconfig1"]) == ("virtio,bridge=vmbr1,mtu=9000,tag=7", "ip=10.10.0.5/24")


def test_stable_mac_addresses_are_other_ones_than_net0s() -> None:
    got = settings(spec_of(PLAIN, macs=MacPolicy.STABLE))
    assert got["net1"] == f"virtio={stable_mac(cluster().name, SERVER.name, nic=1)},bridge=vmbr1"


@pytest.mark.parametrize(
    ("net0", "mtu", "wanted"),
    [
        (f"virtio={MAC},bridge=vmbr0", 9000, f"virtio={MAC},bridge=vmbr0,mtu=9000"),
        (f"virtio={MAC},bridge=vmbr0,mtu=1400", 9000, f"virtio={MAC},bridge=vmbr0,mtu=9000"),
        (f"virtio={MAC},bridge=vmbr0,mtu=9000", 9000, None),
        (f"virtio={MAC},bridge=vmbr0,mtu=1400", None, None),
    ],
)
def test_the_mtu_of_net0_is_set_where_another_one_is_wanted(net0: str, mtu: int | None, wanted: str | None) -> None:
    got = settings(replace(cluster(), network=NetworkSpec(mtu=mtu)), vm=replace(VM, net0=net0))
    assert got.get("net0") == wanted


def test_machines_keep_their_addresses_and_new_ones_get_the_lowest_free() -> None:
    spec = spec_of(STATIC)
    server = replace(vm(spec.control_plane, 1), storage_address=NET[6])
    assert addresses(spec) == [NET[5], NET[6]]
    assert addresses(spec, server) == [NET[6], NET[5]]


def test_a_machine_made_before_there_was_such_a_network_has_none() -> None:
    spec = spec_of(STATIC)
    assert addresses(spec, vm(spec.control_plane, 1)) == [None, NET[5]]
    half_made = vm(spec.control_plane, 1, running=False, state=RecordState.CLONING)
    assert addresses(spec, half_made) == [NET[5], NET[6]]


def test_a_range_that_is_used_up_is_told() -> None:
    spec = spec_of(replace(STATIC, addresses=StaticAddresses(first=NET[5], last=NET[5], subnet=NET)))
    with pytest.raises(
        PreflightError, match=r"10\.10\.0\.5-10\.10\.0\.5 is exhausted: no address is left for demo-workers-1"
    ):
        addresses(spec)


def test_its_bridge_must_be_there_and_the_token_may_use_it() -> None:
    spec = spec_of(PLAIN)
    with pytest.raises(PreflightError) as refused:
        check_bridges(ClusterView(spec, seen()), {PVE1: TEMPLATE}, [(SERVER, PVE1)])
    assert refused.value.details == "pve1 has no bridge vmbr1; it has vmbr0"
    assert rights_needed(spec, (), seen()).bridges == ("vmbr1",)

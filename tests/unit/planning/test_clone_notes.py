"""What is told of machines before they are cloned: disks that cannot shrink, CPUs that are too old, MTUs too large."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec, NetworkSpec, StaticAddresses, StorageNetwork
from bootstrap.model.observed import Observed
from bootstrap.planning.members.desired_machines import machine_states
from bootstrap.planning.provision.allocation import Allocation
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.cpu import LEVELS
from tests.fakes.seen import seen
from tests.fakes.specs import cluster
from tests.fakes.world import TEMPLATE


def notes(spec: ClusterSpec, there: Observed) -> str:
    return "\n".join(Allocation.of(ClusterView(spec, there), machine_states(ClusterView(spec, there))).notes)


def with_node(**changes: object) -> Observed:
    there = seen()
    return replace(there, pve_nodes=(replace(there.pve_nodes[0], **changes),))  # type: ignore[arg-type]


def test_a_disk_smaller_than_the_templates_is_told_where_the_inventory_states_it() -> None:
    there = replace(seen(), templates=(replace(TEMPLATE, disk_gib=30),))
    spec = cluster(agents=0)
    unstated = replace(spec.control_plane, stated=frozenset())
    assert "cannot shrink" not in notes(replace(spec, control_plane=unstated), there)
    stated = replace(spec.control_plane, disk_gib=10, stated=frozenset({"disk_gib"}))
    said = notes(replace(spec, control_plane=stated), there)
    assert "has a disk of 30 GiB, which cannot be shrunk to 10 GiB: machines get 30 GiB" in said
    larger = replace(stated, disk_gib=30)
    assert "cannot shrink" not in notes(replace(spec, control_plane=larger), there)


@pytest.mark.parametrize(("level", "flags"), LEVELS)
def test_a_cpu_without_the_flags_of_a_level_is_told(level: str, flags: frozenset[str]) -> None:
    spec = cluster(agents=0)
    spec = replace(spec, control_plane=replace(spec.control_plane, cpu_type=level))
    assert "lacks" not in notes(spec, with_node(cpu_flags=flags | {"vmx"}))
    assert "lacks" not in notes(spec, with_node(cpu_flags=frozenset()))
    one = min(flags)
    said = notes(spec, with_node(cpu_flags=flags - {one}))
    assert f"the CPU of pve1 lacks features of {level} ({one}): machines do not start there with KVM" in said


def test_an_mtu_beyond_the_bridges_is_refused_before_anything_is_made() -> None:
    """Proxmox makes such a VM all right, and does not start it."""
    spec = replace(cluster(agents=0), network=NetworkSpec(mtu=9000))
    with pytest.raises(PreflightError, match="the machines' MTU is larger than their bridge's") as refused:
        notes(spec, with_node(mtus=(("vmbr0", 1500),)))
    assert refused.value.details == "vmbr0 on pve1 has an MTU of 1500, but the machines have 9000"
    assert "raise that of the bridge" in refused.value.resolution
    assert "MTU" not in notes(spec, with_node(mtus=(("vmbr0", 9000),)))
    assert "vmbr0 on pve1 states no MTU, so it is 1500" in notes(spec, with_node())


@pytest.mark.parametrize("mtu", [None, 1, 1400, 1500])
def test_an_mtu_that_any_bridge_has_is_not_told(mtu: int | None) -> None:
    assert "MTU" not in notes(replace(cluster(agents=0), network=NetworkSpec(mtu=mtu)), with_node())


def test_addresses_without_a_gateway_are_told() -> None:
    """A machine without a default route boots, and then fetches no image."""
    first, last = IPv4Address("192.0.2.50"), IPv4Address("192.0.2.59")
    ranges = StaticAddresses(first=first, last=last, subnet=IPv4Network("192.0.2.0/24"))
    spec = replace(cluster(agents=0), network=NetworkSpec(addresses=ranges))
    assert "network.gateway is not given: machines reach nothing outside 192.0.2.0/24" in notes(spec, seen())
    routed = NetworkSpec(addresses=replace(ranges, gateway=IPv4Address("192.0.2.1")))
    assert "gateway" not in notes(replace(spec, network=routed), seen())


def test_the_storage_networks_bridge_is_looked_at_too() -> None:
    spec = replace(cluster(agents=0), network=NetworkSpec(storage=StorageNetwork(bridge="vmbr1", mtu=9000)))
    bridges = frozenset({"vmbr0", "vmbr1"})
    with pytest.raises(PreflightError, match="MTU is larger"):
        notes(spec, with_node(bridges=bridges, mtus=(("vmbr1", 1500),)))
    assert "vmbr1 on pve1 states no MTU" in notes(spec, with_node(bridges=bridges))

"""Pools on a bridge or VLAN of their own: what their machines get, and what is looked at before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.observing.privileges import rights_needed
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec, NetworkSpec
from bootstrap.model.ids import PveNodeName
from bootstrap.model.machine import PoolNetwork
from bootstrap.model.observed import Vnet
from bootstrap.planning.checks.doctor import Verdict, check_bridges
from bootstrap.planning.members.desired_machines import machine_states
from bootstrap.planning.provision.allocation import Allocation
from bootstrap.planning.templates.discovery import common_bridges
from bootstrap.planning.view import ClusterView
from tests.fakes.seen import seen
from tests.fakes.specs import cluster, workers
from tests.unit.planning.test_texts import MAC, SERVER, VM, settings


def spec_of(own: PoolNetwork, *, all_machines: NetworkSpec | None = None) -> ClusterSpec:
    pool = replace(workers(1), network=own)
    return replace(cluster(), workers=(pool,), network=all_machines or NetworkSpec())


@pytest.mark.parametrize(
    ("own", "all_machines", "net0", "wanted"),
    [
        (PoolNetwork(), NetworkSpec(bridge="vmbr1", vlan=30), "vmbr0", "vmbr1,tag=30"),
        (PoolNetwork(vlan=40), NetworkSpec(bridge="vmbr1", vlan=30), "vmbr0", "vmbr1,tag=40"),
        (PoolNetwork(bridge="vmbr2"), NetworkSpec(bridge="vmbr1", vlan=30), "vmbr0", "vmbr2"),
        (PoolNetwork(bridge="vmbr2", vlan=40), NetworkSpec(), "vmbr0,tag=5", "vmbr2,tag=40"),
        (PoolNetwork(bridge="vmbr2"), NetworkSpec(), "vmbr0,tag=5", "vmbr2"),
        (PoolNetwork(bridge="vmbr0"), NetworkSpec(), "vmbr0,tag=5", None),
        (PoolNetwork(vlan=40), NetworkSpec(), "vmbr0,tag=40", None),
    ],
)
def test_net0_is_where_the_pool_says_and_else_where_all_are(
    own: PoolNetwork, all_machines: NetworkSpec, net0: str, wanted: str | None
) -> None:
    vm = replace(VM, net0=f"virtio={MAC},bridge={net0}")
    got = settings(spec_of(own, all_machines=all_machines), machine=replace(SERVER, network=own), vm=vm)
    assert got.get("net0") == (wanted and f"virtio={MAC},bridge={wanted}")


def test_only_the_proxmox_nodes_that_get_such_a_machine_need_its_bridge() -> None:
    spec = spec_of(PoolNetwork(bridge="vmbr1"))
    there = seen()
    with pytest.raises(PreflightError, match="bridge is missing") as refused:
        Allocation.of(ClusterView(spec, there), machine_states(ClusterView(spec, there)))
    assert refused.value.details == "pve1 has no bridge vmbr1; it has vmbr0"
    alone = replace(spec, workers=(replace(spec.workers[0], count=0),))
    assert Allocation.of(ClusterView(alone, there), machine_states(ClusterView(alone, there))).placement.of


def test_doctor_looks_at_the_bridges_of_all_pools() -> None:
    there = seen()
    check = check_bridges(ClusterView(spec_of(PoolNetwork(bridge="vmbr1")), there))
    assert (check.verdict, check.says) == (Verdict.FAILED, "pve1 has no bridge vmbr1; it has vmbr0")
    facts = replace(there.pve_nodes[0], bridges=frozenset({"vmbr0", "vmbr1"}))
    check = check_bridges(ClusterView(spec_of(PoolNetwork(bridge="vmbr1")), replace(there, pve_nodes=(facts,))))
    assert (check.verdict, check.says) == (Verdict.OK, "vmbr0 on pve1, vmbr1 on pve1")
    elsewhere = spec_of(PoolNetwork(bridge="vmbr1"))
    elsewhere = replace(elsewhere, workers=(replace(elsewhere.workers[0], pve_nodes=(PveNodeName("pve2"),)),))
    assert check_bridges(ClusterView(elsewhere, there)).verdict is Verdict.OK


def test_the_token_must_be_allowed_the_bridges_of_all_pools() -> None:
    assert rights_needed(spec_of(PoolNetwork(bridge="vmbr1")), (), seen()).bridges == ("vmbr1",)


def test_a_vnet_takes_no_vlan_tag_unless_it_is_vlan_aware() -> None:
    spec = spec_of(PoolNetwork(bridge="lan", vlan=40))
    facts = replace(seen().pve_nodes[0], bridges=frozenset({"vmbr0", "lan"}))
    plain = replace(seen(), pve_nodes=(replace(facts, vnets=(Vnet(name="lan", vlan_aware=False),)),))
    with pytest.raises(PreflightError, match="VLAN cannot be") as refused:
        Allocation.of(ClusterView(spec, plain), machine_states(ClusterView(spec, plain)))
    assert (
        refused.value.details == "lan on pve1 is an SDN vnet, which does not accept VLAN tags from machines (vlan: 40)"
    )
    assert refused.value.resolution.startswith("remove vlan: ")
    assert check_bridges(ClusterView(spec, plain)).says == refused.value.details
    aware = replace(seen(), pve_nodes=(replace(facts, vnets=(Vnet(name="lan", vlan_aware=True),)),))
    assert Allocation.of(ClusterView(spec, aware), machine_states(ClusterView(spec, aware))).placement.of
    assert check_bridges(ClusterView(spec, aware)).says == "vmbr0 on pve1, vnet lan on pve1"


def test_plain_bridges_are_proposed_before_vnets() -> None:
    facts = replace(
        seen().pve_nodes[0], bridges=frozenset({"alan", "vmbr0"}), vnets=(Vnet(name="alan", vlan_aware=False),)
    )
    assert common_bridges([facts]) == ("vmbr0", "alan")

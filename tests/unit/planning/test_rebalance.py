"""What a re-spread would move: never to a worse place, never for little, and never twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PveNodeName
from bootstrap.model.observed import Observed, VmRecord
from bootstrap.planning.verbs.rebalance import RebalancePlan, plan_rebalance
from bootstrap.planning.view import ClusterView
from tests.fakes.seen import seen, vm
from tests.fakes.specs import cluster

PVE1, PVE2, PVE3 = map(PveNodeName, ("pve1", "pve2", "pve3"))


def committed(observed: Observed) -> Observed:
    """What is seen, its machines among what the Proxmox nodes have given away."""
    nodes = []
    for facts in observed.pve_nodes:
        here = [each for each in observed.vms if each.pve_node == facts.name]
        nodes.append(
            replace(
                facts,
                committed_cores=sum(each.cores for each in here),
                committed_memory_mib=sum(each.memory_mib for each in here),
            )
        )
    return replace(observed, pve_nodes=tuple(nodes))


def spec_of(servers: int, agents: int) -> ClusterSpec:
    return cluster(servers=servers, agents=agents)


def machines(spec: ClusterSpec, places: list[str]) -> tuple[VmRecord, ...]:
    """The cluster's machines, servers first, on these Proxmox nodes in turn."""
    wanted = [(pool, number) for pool in spec.pools for number in range(1, pool.count + 1)]
    return tuple(vm(pool, number, on=place) for (pool, number), place in zip(wanted, places, strict=True))


def respread(spec: ClusterSpec, places: list[str], *, pve_nodes: int = 3) -> RebalancePlan:
    return plan_rebalance(ClusterView(spec, committed(seen(*machines(spec, places), pve_nodes=pve_nodes, etcd=True))))


def test_servers_that_share_a_node_are_spread_first() -> None:
    found = respread(spec_of(3, 2), ["pve1", "pve1", "pve1", "pve2", "pve3"])
    assert [(move.machine, move.origin) for move in found.moves[:2]] == [("demo-cp-3", PVE1), ("demo-cp-2", PVE1)]
    assert {move.target for move in found.moves[:2]} == {PVE2, PVE3}
    assert "has 3 servers" in found.moves[0].why


def test_workers_go_where_much_more_memory_is_free() -> None:
    found = respread(spec_of(1, 5), ["pve1"] * 6)
    after = Counter({"pve1": 6})
    for move in found.moves:
        after[move.origin] -= 1
        after[move.target] += 1
    assert sorted(after.values()) == [2, 2, 2]
    assert all("free" in move.why for move in found.moves)


def test_what_is_spread_stays() -> None:
    assert respread(spec_of(3, 3), ["pve1", "pve2", "pve3", "pve1", "pve2", "pve3"]).moves == ()


def test_maintenance_and_nodes_that_are_not_allowed_are_emptied() -> None:
    spec = spec_of(1, 2)
    resting = replace(spec, placement=replace(spec.placement, pve_nodes=(PVE1, PVE2), maintenance=(PVE3,)))
    found = respread(resting, ["pve1", "pve3", "pve2"])
    assert [(move.machine, move.why) for move in found.moves] == [("demo-workers-1", "pve3 is in maintenance")]
    assert "pve3 is in maintenance: nothing is moved there" in found.notes
    only = replace(spec, placement=replace(spec.placement, pve_nodes=(PVE1,)))
    assert {move.target for move in respread(only, ["pve2", "pve1", "pve1"]).moves} == {PVE1}


def test_machines_of_a_node_that_is_offline_stay_and_are_named() -> None:
    spec = spec_of(1, 2)
    there = committed(seen(*machines(spec, ["pve1", "pve3", "pve1"]), pve_nodes=3))
    down = replace(
        there,
        pve_nodes=tuple(replace(facts, online=facts.name != PVE3) for facts in there.pve_nodes),
    )
    found = plan_rebalance(ClusterView(spec, down))
    assert "demo-workers-1 is not moved: pve3 is offline" in found.notes
    assert all(PVE3 not in (move.origin, move.target) for move in found.moves)


@given(
    st.sampled_from([1, 3]),
    st.integers(0, 6),
    st.data(),
)
def test_after_the_moves_there_is_nothing_left_to_move(servers: int, agents: int, data: st.DataObject) -> None:
    spec = spec_of(servers, agents)
    count = sum(pool.count for pool in spec.pools)
    places = data.draw(st.lists(st.sampled_from(["pve1", "pve2", "pve3"]), min_size=count, max_size=count))
    found = respread(spec, places)
    assert len({move.machine for move in found.moves}) == len(found.moves)
    moved = {move.machine: move.target for move in found.moves}
    after = [moved.get(each.record.machine, each.pve_node) for each in machines(spec, places) if each.record]
    assert respread(spec, [str(place) for place in after]).moves == ()
    on = Counter(after[:servers])
    assert max(on.values()) - min(on[name] for name in (PVE1, PVE2, PVE3)) <= 1


def test_machines_beyond_the_inventorys_number_are_moved_and_counted_too() -> None:
    large = machines(spec_of(3, 2), ["pve1", "pve1", "pve1", "pve2", "pve3"])
    found = plan_rebalance(ClusterView(spec_of(1, 1), committed(seen(*large, pve_nodes=3, etcd=True))))
    assert [move.machine for move in found.moves[:2]] == ["demo-cp-3", "demo-cp-2"]

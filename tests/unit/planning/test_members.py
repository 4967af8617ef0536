"""Which machines a pool consists of: by properties, for any pool that can be found."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import NodePool, RecordState
from bootstrap.model.observed import KubeNode, Observed, VmRecord
from bootstrap.planning.members import members, names, staying, victims
from tests.fakes.seen import kube_node, seen, vm
from tests.fakes.specs import cluster, workers

POOL = workers(3)
SPEC = cluster(servers=1, agents=3)


@st.composite
def pools(draw: st.DrawFn) -> tuple[NodePool, Observed]:
    """A pool in any state: machines made, half-made, leaving, off, lost, and nodes of others."""
    vms: list[VmRecord] = []
    nodes: list[KubeNode] = []
    for ordinal in draw(st.sets(st.integers(1, 9), max_size=7)):
        there = draw(st.sampled_from(["vm", "lost", "foreign"]))
        if there == "vm":
            running = draw(st.booleans())
            state = draw(st.sampled_from(list(RecordState)))
            machine = vm(POOL, ordinal, on=draw(st.sampled_from(["pve1", "pve2"])), running=running, state=state)
            vms.append(machine)
            if running and draw(st.booleans()):
                nodes.append(kube_node(MachineName(machine.name), ready=draw(st.booleans())))
        else:
            nodes.append(kube_node(MachineName(f"demo-workers-{ordinal}"), ready=there == "foreign"))
    return replace(POOL, count=draw(st.integers(0, 8))), seen(*vms, nodes=tuple(nodes), pve_nodes=2)


@given(pools())
def test_a_pool_gets_exactly_its_size_with_names_nobody_else_has(case: tuple[NodePool, Observed]) -> None:
    pool, observed = case
    wanted = names(SPEC, pool, observed)
    assert len(wanted) == len(set(wanted)) == pool.count
    stay = {member.name for member in staying(SPEC, pool, observed)}
    foreign = {node.name for node in observed.kube_nodes or () if node.ready} - {each.name for each in observed.vms}
    leaving = {each.name for each in members(SPEC, pool, observed) if each.leaving}
    assert stay <= set(wanted)
    assert not set(wanted) & foreign, "a node that lives somewhere is nobody's lost machine"
    assert not set(wanted) & leaving, "what leaves is no longer counted"


@given(pools())
def test_nothing_goes_while_there_are_too_few(case: tuple[NodePool, Observed]) -> None:
    pool, observed = case
    counted = [member for member in members(SPEC, pool, observed) if not member.leaving]
    assert len(staying(SPEC, pool, observed)) == min(pool.count, len(counted))


@given(pools(), st.integers(0, 9))
def test_no_machine_that_is_well_goes_before_one_that_is_not(case: tuple[NodePool, Observed], number: int) -> None:
    pool, observed = case
    there = members(SPEC, pool, observed)
    going = victims(there, number)
    assert len(going) == min(number, len(there))
    if any(member.well for member in going):
        assert all(member.well for member in there if member not in going)


def test_of_machines_that_are_well_the_newest_on_the_fullest_proxmox_node_goes() -> None:
    observed = seen(vm(POOL, 1), vm(POOL, 2), vm(POOL, 3, on="pve2"), pve_nodes=2)
    going = victims(members(SPEC, POOL, observed), 2)
    assert [member.name for member in going] == ["demo-workers-2", "demo-workers-3"]


def test_a_lost_machine_comes_back_under_its_name() -> None:
    nodes = (kube_node(MachineName("demo-workers-2"), ready=False),)
    observed = seen(vm(POOL, 4), nodes=(*nodes, kube_node(MachineName("demo-workers-4"))))
    assert names(SPEC, replace(POOL, count=2), observed) == ("demo-workers-2", "demo-workers-4")

"""Which machines a pool consists of: by properties, for any pool that can be found."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import NodePool, RecordState
from bootstrap.model.observed import KubeNode, Observed, VmRecord
from bootstrap.planning.members.pool_members import members, names, ordinal_of, staying, worst_first
from bootstrap.planning.view import ClusterView
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
    wanted = names(ClusterView(SPEC, observed), pool)
    assert len(wanted) == len(set(wanted)) == pool.count
    stay = {member.name for member in staying(ClusterView(SPEC, observed), pool)}
    foreign = {node.name for node in observed.kube_nodes or () if node.ready} - {each.name for each in observed.vms}
    leaving = {each.name for each in members(ClusterView(SPEC, observed), pool) if each.leaving}
    assert stay <= set(wanted)
    assert not set(wanted) & foreign, "a node that lives somewhere is nobody's lost machine"
    assert not set(wanted) & leaving, "what leaves is no longer counted"


@given(pools())
def test_nothing_goes_while_there_are_too_few(case: tuple[NodePool, Observed]) -> None:
    pool, observed = case
    counted = [member for member in members(ClusterView(SPEC, observed), pool) if not member.leaving]
    assert len(staying(ClusterView(SPEC, observed), pool)) == min(pool.count, len(counted))


@given(pools(), st.integers(0, 9))
def test_no_machine_that_is_well_is_replaced_before_one_that_is_not(
    case: tuple[NodePool, Observed], number: int
) -> None:
    pool, observed = case
    there = members(ClusterView(SPEC, observed), pool)
    going = worst_first(there, number)
    assert len(going) == min(number, len(there))
    if any(member.well for member in going):
        assert all(member.well for member in there if member not in going)


def test_of_machines_that_are_well_the_newest_on_the_fullest_proxmox_node_is_replaced_first() -> None:
    observed = seen(vm(POOL, 1), vm(POOL, 2), vm(POOL, 3, on="pve2"), pve_nodes=2)
    going = worst_first(members(ClusterView(SPEC, observed), POOL), 2)
    assert [member.name for member in going] == ["demo-workers-2", "demo-workers-3"]


@given(pools(), st.data())
def test_which_machines_are_too_many_does_not_depend_on_which_are_off_not_ready_or_cordoned(
    case: tuple[NodePool, Observed], data: st.DataObject
) -> None:
    """After `scale workers 2` on an inventory of 1, powering workers-1 off made that one the surplus."""
    pool, observed = case
    for_sure = {each.name for each in observed.vms}
    other = replace(
        observed,
        vms=tuple(replace(each, running=data.draw(st.booleans())) for each in observed.vms),
        kube_nodes=tuple(
            replace(node, ready=data.draw(st.booleans()), unschedulable=data.draw(st.booleans()))
            if node.name in for_sure
            else node
            for node in observed.kube_nodes or ()
        ),
    )
    before = [member.name for member in staying(ClusterView(SPEC, observed), pool)]
    assert [member.name for member in staying(ClusterView(SPEC, other), pool)] == before


@given(pools())
def test_of_machines_that_are_whole_the_highest_numbers_are_too_many(case: tuple[NodePool, Observed]) -> None:
    pool, observed = case
    stay = staying(ClusterView(SPEC, observed), pool)
    going = [m for m in members(ClusterView(SPEC, observed), pool) if not m.leaving and m not in stay]
    whole = [ordinal_of(member.name) for member in going if member.whole]
    assert not whole or all(member.whole and ordinal_of(member.name) < min(whole) for member in stay)


def test_a_lost_machine_comes_back_under_its_name() -> None:
    nodes = (kube_node(MachineName("demo-workers-2"), ready=False),)
    observed = seen(vm(POOL, 4), nodes=(*nodes, kube_node(MachineName("demo-workers-4"))))
    assert names(ClusterView(SPEC, observed), replace(POOL, count=2)) == ("demo-workers-2", "demo-workers-4")

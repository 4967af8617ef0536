"""Neighbours of any name, in Proxmox VE and in Kubernetes, are no trouble and are never touched."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.model.ids import ClusterName, MachineName, PoolName, PveNodeName, Vmid
from bootstrap.model.machine import MachineRecord, RecordState, Role
from bootstrap.model.observed import OWNER_TAG, KubeNode, Observed, UnreachableVm, VmRecord
from bootstrap.planning.checks.status_problems import problems_of
from bootstrap.planning.members.desired_machines import machine_states
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.plan import Plan
from bootstrap.planning.verbs.down import plan_down
from bootstrap.planning.verbs.up import plan_up
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.proof import NO_KEY
from tests.fakes.seen import kube_node, seen, vm
from tests.fakes.specs import cluster, control_plane, workers

SPEC = cluster(servers=1, agents=2)
SERVER, FIRST, SECOND = vm(control_plane(), 1), vm(workers(), 1), vm(workers(), 2)
OURS = (SERVER, FIRST, SECOND)

called = st.sampled_from(
    [
        "demo-2-cp-1",
        "demo-2-workers-1",
        "demo-2-lock",
        "demo-nas",
        "demo-workers-7",
        "demo-cp-1",
        "demo",
        "demo-",
        "nas",
    ]
) | st.from_regex(r"demo-[a-z0-9-]{1,12}", fullmatch=True).filter(lambda name: name != "demo-lock")
vmids = st.integers(100, 6999) | st.integers(7200, 7990)
texts = st.sampled_from(["demo", "demo-2", OWNER_TAG, "mine"])


@st.composite
def somebodys(draw: st.DrawFn) -> VmRecord:
    """A VM that bears no record of this cluster: none at all, or another cluster's, no matter who has signed it."""
    vmid, name = Vmid(draw(vmids)), draw(called)
    other = MachineRecord(
        cluster=ClusterName("demo-2"),
        machine=MachineName(name),
        role=draw(st.sampled_from(Role)),
        pool=PoolName("workers"),
        vmid=vmid,
        state=draw(st.sampled_from(RecordState)),
    )
    running = draw(st.booleans())
    return VmRecord(
        vmid=vmid,
        name=name,
        pve_node=PveNodeName("pve1"),
        running=running,
        halted=draw(st.sampled_from(["", "io-error"])) if running else "",
        tags=frozenset(draw(st.sets(texts))),
        record=draw(st.none() | st.just(other)),
        unused=draw(st.sampled_from([(), (("unused0", "local:x"),)])),
        doubt=draw(st.sampled_from(["", NO_KEY])),
    )


@st.composite
def joined(draw: st.DrawFn) -> KubeNode:
    """A Kubernetes node that somebody has joined: a Raspberry Pi, or one that is called as ours are, and Ready."""
    name = draw(st.sampled_from(["pi-1", "nas", "demo-workers-7", "demo-2-workers-1", "node"]))
    ready = draw(st.booleans()) if "workers" not in name else True
    node = kube_node(MachineName(name), ready=ready)
    return replace(node, unschedulable=draw(st.booleans()), version=draw(st.sampled_from(["v1.30.1+k3s1", "x"])))


def problems(observed: Observed) -> tuple[str, ...]:
    spec = with_existing_sizes(ClusterView(SPEC, observed)).spec
    return problems_of(ClusterView(spec, observed), machine_states(ClusterView(spec, observed)))


def touched(plan: Plan) -> set[int]:
    return {machine.place.vmid for machine in plan.machines}


@given(st.lists(somebodys(), unique_by=lambda each: each.vmid), st.lists(joined(), unique_by=lambda each: each.name))
def test_neighbours_are_no_trouble_and_are_not_touched(vms: list[VmRecord], nodes: list[KubeNode]) -> None:
    """`status` of demo exited with 1 for the machines of demo-2, for demo-nas, and for a Pi that had joined."""
    alone = seen(*OURS)
    observed = replace(seen(*OURS, *vms), kube_nodes=(*(alone.kube_nodes or ()), *nodes))
    assert problems(alone) == ()
    assert problems(observed) == ()
    up = plan_up(with_existing_sizes(ClusterView(SPEC, observed)), version="")
    assert up.empty
    assert up.notes == ()
    down = plan_down(ClusterView(SPEC, observed), has_traces=False)
    assert touched(down) == {each.vmid for each in OURS}
    assert {str(lane.name) for lane in down.lanes} - {"local-files"} == {each.name for each in OURS}


def test_down_names_a_namesake_that_it_leaves() -> None:
    theirs = replace(FIRST, vmid=Vmid(7300), name="demo-workers-7", record=None)
    plan = plan_down(ClusterView(SPEC, seen(*OURS, theirs)), has_traces=False)
    assert plan.notes == ("demo-workers-7 (vmid 7300 on pve1) is ignored: it has no record of this tool",)


def test_a_machine_that_was_renamed_and_is_out_of_sight_gets_no_double() -> None:
    """It may run: a second demo-workers-1 beside it would have its volumes and its address."""
    renamed = UnreachableVm(
        vmid=FIRST.vmid,
        name="nas",
        pve_node=PveNodeName("pve2"),
        tags=frozenset({OWNER_TAG, "demo"}),
        why="offline",
    )
    nodes = (*(seen(SERVER, SECOND).kube_nodes or ()), kube_node(MachineName("demo-workers-1"), ready=False))
    observed = replace(seen(SERVER, SECOND, nodes=nodes), unreachable=(renamed,))
    plan = plan_up(with_existing_sizes(ClusterView(SPEC, observed)), version="")
    assert not [machine for machine in plan.machines if machine.action == "create"]
    assert plan.unreached
    theirs = replace(observed, unreachable=(replace(renamed, tags=frozenset({"demo"})),))
    plan = plan_up(with_existing_sizes(ClusterView(SPEC, theirs)), version="v1.33.3+k3s1")
    assert [machine.spec.name for machine in plan.machines if machine.action == "create"] == ["demo-workers-1"]

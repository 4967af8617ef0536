"""Plans of `scale` and `replace`: what goes, what comes, in which order. They are run with steps that do nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.errors import PreflightError
from bootstrap.execution.context import Done
from bootstrap.execution.runner import Runner
from bootstrap.model.cluster import BackupSpec, ClusterSpec, S3Spec, VipSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import CONTROL_PLANE_POOL, MachineSpec, RecordState
from bootstrap.model.observed import Observed
from bootstrap.planning.day2_steps import (
    DeleteKubeNode,
    Drain,
    MarkLeaving,
    MigrateToEtcd,
    Reclaim,
    RetireServer,
    SpreadVip,
)
from bootstrap.planning.plan import Action, Plan
from bootstrap.planning.provision.decommission import DrainRules
from bootstrap.planning.steps import AwaitReady, CloneVm, DestroyVm, JoinServer, Step, StopVm
from bootstrap.planning.verbs.replace import ReplaceOptions, plan_replace
from bootstrap.planning.verbs.scale import plan_scale, with_counts
from bootstrap.planning.verbs.up import plan_up
from bootstrap.planning.view import ClusterView
from tests.fakes.clock import SteppingClock
from tests.fakes.seen import kube_node, seen, vm
from tests.fakes.specs import cluster, control_plane, workers
from tests.fakes.world.facts import VERSION

WORKERS = workers().name
RULES = DrainRules()


def scaled(spec: ClusterSpec, observed: Observed, **counts: int) -> Plan:
    wanted = {(CONTROL_PLANE_POOL if name == "servers" else WORKERS): count for name, count in counts.items()}
    return plan_scale(
        ClusterView(with_counts(spec, wanted), observed), pools=frozenset(wanted), version=VERSION, rules=RULES
    )


def order(plan: Plan) -> list[Step]:
    """The steps in the order in which they ended; the runner itself proves that every gate opens."""
    done: list[Step] = []

    def perform(step: Step, _lane: str) -> Done:
        done.append(step)
        return Done()

    report = Runner(
        plan, perform=perform, sink=lambda _event: None, clock=SteppingClock(), stop=threading.Event()
    ).run()
    report.raise_failures()
    return done


def names_of(steps: Sequence[Step], kind: type[Step]) -> list[str]:
    """The machines of all steps of a kind; a step names its machine or holds the whole of it."""
    machines = [vars(step)["machine"] for step in steps if isinstance(step, kind)]
    return [machine.name if isinstance(machine, MachineSpec) else machine for machine in machines]


def small(servers: int = 1, agents: int = 3, *, etcd: bool = False) -> Observed:
    machines = [vm(control_plane(), number) for number in range(1, servers + 1)]
    machines += [vm(workers(), number) for number in range(1, agents + 1)]
    return seen(*machines, etcd=etcd)


def test_a_machine_leaves_marked_then_drained_then_out_of_kubernetes_then_destroyed() -> None:
    steps = order(scaled(cluster(agents=3), small(), workers=2))
    own = [type(step) for step in steps if getattr(step, "machine", None) == "demo-workers-3"]
    assert own[:3] == [MarkLeaving, Drain, DeleteKubeNode]
    assert own[-1] is DestroyVm


def test_a_server_that_is_out_of_etcd_is_stopped_before_its_vm_goes() -> None:
    steps = order(scaled(cluster(3, 1), small(3, 1, etcd=True), servers=1))
    for name in ("demo-cp-2", "demo-cp-3"):
        own = [type(step) for step in steps if getattr(step, "machine", None) == name]
        assert own[-4:] == [DeleteKubeNode, RetireServer, StopVm, DestroyVm]


def test_the_size_it_has_leaves_nothing_to_do() -> None:
    assert scaled(cluster(agents=3), small(), workers=3).empty


def test_one_that_was_on_its_way_out_goes_on_its_way() -> None:
    observed = seen(vm(control_plane(), 1), vm(workers(), 1, state=RecordState.LEAVING), vm(workers(), 2))
    steps = order(scaled(cluster(agents=1), observed, workers=1))
    assert names_of(steps, DestroyVm) == ["demo-workers-1"]


def test_one_that_was_on_its_way_out_is_taken_back_where_more_are_wanted() -> None:
    observed = seen(vm(control_plane(), 1), vm(workers(), 1, state=RecordState.LEAVING), vm(workers(), 2))
    steps = order(scaled(cluster(agents=1), observed, workers=3))
    assert names_of(steps, Reclaim) == ["demo-workers-1"]
    assert names_of(steps, CloneVm) == ["demo-workers-3"]
    assert names_of(steps, DestroyVm) == []


def test_one_server_with_sqlite_is_moved_to_etcd_before_others_join_one_after_the_other() -> None:
    steps = order(scaled(cluster(servers=1, agents=0), small(agents=0), servers=3))
    kinds = [type(step) for step in steps]
    assert kinds.index(MigrateToEtcd) < kinds.index(JoinServer)
    assert names_of(steps, JoinServer) == ["demo-cp-2", "demo-cp-3"]


def test_servers_leave_one_after_the_other() -> None:
    steps = order(scaled(cluster(servers=3, agents=0), small(servers=3, agents=0, etcd=True), servers=1))
    left = names_of(steps, DeleteKubeNode)
    assert len(left) == 2
    drained = [index for index, step in enumerate(steps) if isinstance(step, Drain)]
    deleted = [index for index, step in enumerate(steps) if isinstance(step, DeleteKubeNode)]
    assert drained[1] > deleted[0]


def test_an_even_number_of_servers_is_refused() -> None:
    with pytest.raises(PreflightError, match="even number"):
        scaled(cluster(), small(), servers=2)


def test_servers_do_not_leave_where_etcd_would_lose_its_majority() -> None:
    machines = [vm(control_plane(), number) for number in (1, 2, 3)]
    nodes = tuple(
        kube_node(MachineName(each.name), role=each.record.role, etcd=True, ready=each.name == "demo-cp-1")
        for each in machines
        if each.record
    )
    replaced = replace(seen(*machines), kube_nodes=nodes)
    with pytest.raises(PreflightError, match="etcd majority"):
        plan_replace(
            ClusterView(cluster(servers=3, agents=0), replaced),
            ReplaceOptions(pool=CONTROL_PLANE_POOL, machines=(MachineName("demo-cp-2"),)),
            version=VERSION,
        )


def test_a_server_whose_node_is_being_deleted_counts_no_more() -> None:
    """Right after a `replace`: its etcd member is gone, and the next command is not refused for its sake."""
    machines = [vm(control_plane(), number) for number in (1, 2, 3)]
    nodes = [
        kube_node(each.record.machine, role=each.record.role, etcd=True, ready=each.name != "demo-cp-3")
        for each in machines
        if each.record
    ]
    gone = replace(nodes[0], name=MachineName("demo-cp-9"), ready=False, deleting=True)
    whole = (*nodes[:2], replace(nodes[2], ready=True), gone)
    steps = order(scaled(cluster(servers=3, agents=0), replace(seen(*machines), kube_nodes=whole), servers=5))
    assert names_of(steps, JoinServer) == ["demo-cp-4", "demo-cp-5"]
    with pytest.raises(PreflightError, match="1 server of 2 would be Ready without demo-cp-1"):
        plan_replace(
            ClusterView(cluster(servers=3, agents=0), replace(seen(*machines), kube_nodes=(*nodes, gone))),
            ReplaceOptions(pool=CONTROL_PLANE_POOL, machines=(MachineName("demo-cp-1"),), surge=False),
            version=VERSION,
        )


def test_servers_that_come_or_go_are_told_to_all_others_keepalived() -> None:
    spec = replace(cluster(servers=1, agents=0), vip=VipSpec(address=IPv4Address("192.0.2.250")))
    steps = order(scaled(spec, small(agents=0, etcd=True), servers=3))
    spread = next(step for step in steps if isinstance(step, SpreadVip))
    assert spread.servers == ("demo-cp-1", "demo-cp-2", "demo-cp-3")
    assert isinstance(steps[-1], SpreadVip)


@settings(deadline=None)
@given(
    agents=st.integers(1, 6),
    gone=st.sets(st.integers(1, 6), max_size=2),
    at_once=st.integers(1, 3),
    surge=st.booleans(),
)
def test_a_whole_pool_is_replaced_never_more_at_a_time_than_allowed(
    agents: int, gone: set[int], at_once: int, surge: bool
) -> None:
    machines = [vm(workers(), number, running=number not in gone) for number in range(1, agents + 1)]
    observed = seen(vm(control_plane(), 1), *machines)
    plan = plan_replace(
        ClusterView(cluster(agents=agents), observed),
        ReplaceOptions(pool=WORKERS, at_once=at_once, surge=surge),
        version=VERSION,
    )
    steps = order(plan)
    old = {each.name for each in machines}
    destroyed, ready = names_of(steps, DestroyVm), names_of(steps, AwaitReady)
    assert sorted(destroyed) == sorted(old)
    assert len(set(ready)) == agents
    assert not set(ready) & old, "a machine and its successor are never one and the same"
    lacking = most = 0
    for step in steps:
        lacking += isinstance(step, Drain | DeleteKubeNode) and _begins_to_lack(step, observed)
        lacking -= isinstance(step, AwaitReady)
        most = max(most, lacking)
    assert most <= (0 if surge else at_once)


def test_of_agents_removed_first_as_many_at_a_time_as_leave_pods_a_node() -> None:
    def plan(at_once: int, *, surge: bool) -> Plan:
        options = ReplaceOptions(pool=WORKERS, at_once=at_once, surge=surge)
        return plan_replace(ClusterView(cluster(agents=2), small(agents=2)), options, version=VERSION)

    assert "2 instead of 3 workers at a time, so that pods have nodes to move to" in plan(3, surge=False).notes
    assert "3 workers at a time" in plan(3, surge=True).notes, "each successor is Ready before a drain"
    assert not [note for note in plan(1, surge=True).notes if "at a time" in note]


def test_servers_are_replaced_one_by_one_whatever_was_asked_for() -> None:
    view = ClusterView(cluster(3, 0), small(3, 0, etcd=True))
    plan = plan_replace(view, ReplaceOptions(pool=CONTROL_PLANE_POOL, at_once=3), version=VERSION)
    assert "servers are replaced one at a time" in plan.notes
    alone = plan_replace(view, ReplaceOptions(pool=CONTROL_PLANE_POOL), version=VERSION)
    assert plan.lanes == alone.lanes


def _begins_to_lack(step: Step, observed: Observed) -> bool:
    """A machine is missed from its drain on, or where it is not drained, from when its node goes."""
    drained = {node.name for node in observed.kube_nodes or ()}
    return isinstance(step, Drain) or (isinstance(step, DeleteKubeNode) and step.machine not in drained)


def test_the_server_that_all_goes_through_is_marked_and_leaves_by_a_second_plan() -> None:
    spec, observed = cluster(servers=3, agents=0), small(servers=3, agents=0, etcd=True)
    plan = plan_replace(ClusterView(spec, observed), ReplaceOptions(pool=CONTROL_PLANE_POOL), version=VERSION)
    steps = order(plan)
    assert sorted(names_of(steps, MarkLeaving)) == ["demo-cp-1", "demo-cp-2", "demo-cp-3"]
    assert len(names_of(steps, DestroyVm)) == 2
    assert len(names_of(steps, JoinServer)) == 3
    assert any("is removed last" in note for note in plan.notes)


def test_successors_of_servers_keep_apart_from_each_other_too() -> None:
    spec = cluster(servers=3, agents=0)
    crowded = seen(*(vm(control_plane(3), number) for number in (1, 2, 3)), pve_nodes=3, etcd=True)
    verb_options = ReplaceOptions(
        pool=CONTROL_PLANE_POOL, machines=(MachineName("demo-cp-3"), MachineName("demo-cp-2"))
    )
    plan = plan_replace(ClusterView(spec, crowded), verb_options, version=VERSION)
    assert {machine.place.pve_node for machine in plan.machines if machine.action == "create"} == {"pve2", "pve3"}


def test_a_replacement_that_was_cut_off_goes_on_with_what_was_marked() -> None:
    observed = seen(
        vm(control_plane(), 1),
        vm(workers(), 1, state=RecordState.LEAVING),
        vm(workers(), 2),
        vm(workers(), 3),
    )
    steps = order(plan_replace(ClusterView(cluster(agents=2), observed), ReplaceOptions(pool=WORKERS), version=VERSION))
    assert names_of(steps, DestroyVm) == ["demo-workers-1"]
    assert names_of(steps, CloneVm) == []


def test_a_sqlite_server_cannot_be_replaced() -> None:
    with pytest.raises(PreflightError, match="sqlite"):
        plan_replace(ClusterView(cluster(), small()), ReplaceOptions(pool=CONTROL_PLANE_POOL), version=VERSION)


def test_without_the_keys_of_its_bucket_no_server_is_made_but_workers_are() -> None:
    bucket = S3Spec(endpoint="s3.example", bucket="saved", access_key="", secret_key="")
    spec = replace(cluster(), backup=BackupSpec(s3=bucket))
    with pytest.raises(PreflightError, match="keys of the bucket saved"):
        plan_up(ClusterView(spec, seen()), version=VERSION)
    assert not scaled(spec, small(), workers=4).empty


def test_while_the_api_does_not_answer_a_plan_does_not_claim_to_know_what_has_joined() -> None:
    silent = replace(small(), kube_nodes=None)
    plan = plan_up(ClusterView(cluster(agents=3), silent), version=VERSION)
    running = [machine for machine in plan.machines if machine.action is not Action.CREATE]
    assert running
    assert {machine.reason for machine in running} == {"unknown whether it has joined the cluster"}


@pytest.mark.parametrize("stated", [1, 3, 5])
@pytest.mark.parametrize("surge", [True, False])
def test_replacing_keeps_the_number_of_machines_whatever_the_inventory_says(stated: int, surge: bool) -> None:
    plan = plan_replace(
        ClusterView(cluster(agents=stated), small()), ReplaceOptions(pool=WORKERS, surge=surge), version=VERSION
    )
    steps = order(plan)
    assert len(names_of(steps, DestroyVm)) == 3
    assert len(set(names_of(steps, CloneVm))) == 3
    told = [note for note in plan.notes if "`replace` does not change their number" in note]
    assert bool(told) == (stated != 3)
    assert all(("`homelab-k8s scale`" if stated == 1 else "`homelab-k8s up`") in note for note in told)


def test_one_machine_of_a_pool_that_is_larger_than_the_inventory_says_is_replaced_by_one() -> None:
    verb_options = ReplaceOptions(pool=WORKERS, machines=(MachineName("demo-workers-2"),))
    steps = order(plan_replace(ClusterView(cluster(agents=1), small()), verb_options, version=VERSION))
    assert names_of(steps, DestroyVm) == ["demo-workers-2"]
    assert names_of(steps, CloneVm) == ["demo-workers-4"]


@pytest.mark.parametrize("stated", [1, 3])
def test_a_replacement_that_was_cut_off_ends_with_as_many_as_it_began_with(stated: int) -> None:
    """One of three has been replaced, the second's successor is there, the third is untouched."""
    observed = seen(
        vm(control_plane(), 1),
        vm(workers(), 2, state=RecordState.LEAVING),
        vm(workers(), 3, state=RecordState.LEAVING),
        vm(workers(), 4),
        vm(workers(), 5),
    )
    begun = {MachineName(f"demo-workers-{number}"): f"uuid-{7100 + number}" for number in (1, 2, 3)}
    verb_options = ReplaceOptions(pool=WORKERS, begun=begun, noted={WORKERS: 3})
    steps = order(plan_replace(ClusterView(cluster(agents=stated), observed), verb_options, version=VERSION))
    assert sorted(names_of(steps, DestroyVm)) == ["demo-workers-2", "demo-workers-3"]
    assert len(names_of(steps, CloneVm)) == 1


def test_a_replacement_after_a_scale_that_was_cut_off_makes_no_more_than_that_wanted() -> None:
    observed = seen(
        vm(control_plane(), 1),
        vm(workers(), 1),
        vm(workers(), 2, state=RecordState.LEAVING),
        vm(workers(), 3, state=RecordState.LEAVING),
    )
    verb_options = ReplaceOptions(pool=WORKERS, asked={WORKERS: 1})
    steps = order(plan_replace(ClusterView(cluster(agents=3), observed), verb_options, version=VERSION))
    assert sorted(names_of(steps, DestroyVm)) == ["demo-workers-2", "demo-workers-3"]
    assert names_of(steps, CloneVm) == []


def test_without_a_note_none_that_stays_is_lost_and_the_inventory_says_how_many_successors_there_are() -> None:
    observed = seen(vm(control_plane(), 1), vm(workers(), 1), vm(workers(), 2, state=RecordState.LEAVING))
    for stated, clones in ((1, 0), (2, 1), (5, 1)):
        steps = order(
            plan_replace(ClusterView(cluster(agents=stated), observed), ReplaceOptions(pool=WORKERS), version=VERSION)
        )
        assert names_of(steps, DestroyVm) == ["demo-workers-2"]
        assert len(names_of(steps, CloneVm)) == clones


def test_a_mistyped_pool_is_told_with_the_pool_that_was_meant() -> None:
    with pytest.raises(PreflightError) as caught:
        with_counts(cluster(agents=1), {PoolName("wrokers"): 3})
    assert caught.value.resolution.startswith("did you mean workers? To have this pool, add it")
    with pytest.raises(PreflightError) as caught:
        with_counts(cluster(agents=1), {PoolName("gpu"): 3})
    assert caught.value.resolution.startswith("To have this pool, add it to the inventory first")

"""Pods leave a node with their budgets respected, and a failure leaves no node cordoned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.errors import DeadlineError, DrainError, InterruptedRunError
from bootstrap.events import Warned
from bootstrap.execution.context import Done
from bootstrap.execution.k3s.drain import DEAD_AFTER_S, is_evictable
from bootstrap.execution.k3s.kube_retries import ANSWER_S
from bootstrap.model.observed import Pod
from bootstrap.planning.day2_steps import Drain, MarkLeaving, Reclaim, Uncordon
from tests.fakes.world.workloads import FakeBudget, FakePod
from tests.unit.execution.leaving_stage import CP1, W1, W2, Stage, pod


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestDraining:
    def test_pods_go_and_what_belongs_to_the_node_stays(self, stage: Stage) -> None:
        stage.put(
            pod("web-1"),
            pod("db-0", "StatefulSet"),
            pod("log", "DaemonSet", local_data=True),
            pod("static", "Node", mirror=True),
            pod("done", "Job", finished=True, local_data=True),
            pod("bare-done", "", finished=True),
            pod("web-2", on=W2),
        )
        done = stage.perform(Drain(machine=W1))
        assert stage.on() == {"log", "static"}
        assert stage.on(W2) == {"web-1", "web-2", "db-0"}
        assert done == Done(changed=True, note="4 pods evicted")
        assert not stage.schedulable()
        assert stage.perform(Drain(machine=W1)) == Done(changed=False, note="0 pods evicted")

    def test_it_is_cordoned_before_anything_is_evicted(self, stage: Stage) -> None:
        stage.put(pod("web-1"))
        stage.perform(Drain(machine=W1))
        assert stage.world.journal == [f"cordon {W1}", "evict default/web-1"]

    @pytest.mark.parametrize("data", [False, True])
    @pytest.mark.parametrize("bare", [False, True])
    def test_what_would_be_lost_is_named_before_anything_goes(self, stage: Stage, data: bool, bare: bool) -> None:
        stage.put(pod("web-1"), pod("cache", local_data=True), pod("shell", ""))
        drain = Drain(machine=W1, delete_local_data=data, delete_bare=bare)
        if data and bare:
            stage.perform(drain)
            assert stage.on() == set()
            return
        with pytest.raises(DrainError, match="demo-workers-1 cannot be drained: ") as caught:
            stage.perform(drain)
        error = caught.value
        assert ("1 pod has local data" in error.brief, "default/cache" in error.details) == (not data, not data)
        assert ("1 pod has no controller" in error.brief, "default/shell" in error.details) == (not bare, not bare)
        assert ("--delete-emptydir-data" in error.resolution, "--force" in error.resolution) == (not data, not bare)
        assert stage.evicted() == []
        assert stage.schedulable()

    def test_add_ons_of_k3s_go_with_their_emptydir_and_bare_pods_beside_them_do_not(self, stage: Stage) -> None:
        stage.world.workloads.add_ons(W1)
        stage.perform(Drain(machine=W1))
        assert stage.on() == set()
        assert "kube-system/metrics-server-5d8f7c6b9-x2x4z" in stage.evicted()
        bare = pod("shell", "", local_data=True)
        bare.pod = replace(bare.pod, namespace="kube-system")
        stage.put(bare)
        with pytest.raises(DrainError, match="1 pod has local data and 1 pod has no controller"):
            stage.perform(Drain(machine=W1))

    def test_a_bare_pod_that_ends_already_is_waited_for(self, stage: Stage) -> None:
        ending = pod("shell", "", leaving=True)
        ending.ends_s = 5.0
        stage.put(ending)
        stage.perform(Drain(machine=W1))
        assert stage.on() == set()
        assert stage.world.clock.now_s() >= 5

    def test_the_budget_that_blocks_is_named_and_the_node_uncordoned(self, stage: Stage) -> None:
        stage.put(pod("web-1"), pod("web-2"), pod("api-1"))
        stage.world.workloads.budgets.append(FakeBudget("default", "web", "web", min_available=2))
        with pytest.raises(DrainError) as caught:
            stage.perform(Drain(machine=W1, timeout_s=60))
        assert caught.value.brief == (
            "demo-workers-1 cannot be drained: PodDisruptionBudget default/web allows no eviction of 2 pods"
        )
        assert caught.value.details.splitlines() == [
            f"default/web-{n}: default/web: Cannot evict pod as it would violate the pod's disruption budget."
            for n in (1, 2)
        ]
        assert "--drain-timeout" in caught.value.resolution
        assert stage.schedulable()
        assert stage.evicted() == ["default/api-1"]
        assert 60 <= stage.world.clock.now_s() < 63

    def test_pods_that_a_budget_lets_go_one_by_one_all_go(self, stage: Stage) -> None:
        stage.put(*(pod(f"web-{n}") for n in range(4)))
        stage.world.workloads.budgets.append(FakeBudget("default", "web", "web", min_available=3))
        stage.perform(Drain(machine=W1))
        assert stage.on() == set()
        assert len(stage.on(W2)) == 4

    def test_a_pod_that_does_not_end_is_named(self, stage: Stage) -> None:
        stuck = pod("web-1")
        stuck.stuck = True
        stage.put(stuck, pod("api-1"))
        with pytest.raises(DrainError, match="1 pod did not terminate within 30 s") as caught:
            stage.perform(Drain(machine=W1, timeout_s=30))
        assert caught.value.details == "default/web-1: did not terminate"
        assert stage.schedulable()

    def test_a_pod_that_was_bound_just_before_the_cordon_goes_too(self, stage: Stage) -> None:
        stage.put(pod("web-1"))

        def bind_late(call: str) -> None:
            if call == "evict default/web-1":
                stage.put(pod("late-1"))

        stage.world.on_call = bind_late
        assert stage.perform(Drain(machine=W1)).note == "2 pods evicted"
        assert stage.on() == set()

    def test_pods_that_come_back_to_a_cordoned_node_do_not_hold_it_up(self, stage: Stage) -> None:
        everywhere = pod("operator-1")
        everywhere.tolerates = True
        stage.put(everywhere)
        done = stage.perform(Drain(machine=W1))
        assert done.note == "2 pods evicted; 1 pod came back although the node is cordoned"

    def test_an_interruption_uncordons(self, stage: Stage) -> None:
        stage.put(pod("web-1"))
        stage.stop.set()
        with pytest.raises(InterruptedRunError):
            stage.perform(Drain(machine=W1))
        assert stage.schedulable()

    def test_a_node_that_somebody_cordoned_stays_so_after_a_failure(self, stage: Stage) -> None:
        stage.kube.set_unschedulable(W1, unschedulable=True)
        stage.put(pod("shell", ""))
        with pytest.raises(DrainError):
            stage.perform(Drain(machine=W1))
        assert not stage.schedulable()

    def test_a_leaving_machine_was_cordoned_by_a_run_that_was_killed(self, stage: Stage) -> None:
        stage.perform(MarkLeaving(machine=W1))
        stage.kube.set_unschedulable(W1, unschedulable=True)
        stage.put(pod("shell", ""))
        with pytest.raises(DrainError):
            stage.perform(Drain(machine=W1))
        assert stage.schedulable()

    def test_a_node_whose_vm_is_lost_is_drained_and_who_cordoned_it_is_not_guessed(self, stage: Stage) -> None:
        stage.kube.set_unschedulable(W1, unschedulable=True)
        stage.put(pod("shell", ""))
        del stage.world.vms[stage.vm(W1).vmid]
        with pytest.raises(DrainError):
            stage.perform(Drain(machine=W1))
        assert not stage.schedulable()
        assert stage.perform(Drain(machine=W1, delete_bare=True)).note.endswith("1 pod are removed with it")

    def test_all_budgets_that_block_are_named(self, stage: Stage) -> None:
        stage.put(pod("web-1"), pod("db-1"))
        for app in ("web", "db"):
            stage.world.workloads.budgets.append(FakeBudget("default", app, app, min_available=1))
        with pytest.raises(
            DrainError, match="PodDisruptionBudgets default/db, default/web allow no eviction of 2 pods"
        ):
            stage.perform(Drain(machine=W1, timeout_s=10))

    def test_a_dead_node_is_not_waited_for(self, stage: Stage) -> None:
        stage.put(pod("web-1"), pod("api-1"), pod("log", "DaemonSet"))
        stage.world.workloads.budgets.append(FakeBudget("default", "web", "web", min_available=1))
        stage.vm(W1).running = False
        done = stage.perform(Drain(machine=W1))
        assert done.note == "0 pods evicted; the node is not Ready: 2 pods are removed with it"
        assert stage.evicted() == ["default/api-1"]
        assert DEAD_AFTER_S <= stage.world.clock.now_s() < DEAD_AFTER_S + 5
        assert not stage.schedulable()

    def test_a_node_that_is_not_ready_for_a_moment_is_waited_for(self, stage: Stage) -> None:
        stage.put(pod("web-1"))
        vm = stage.vm(W1)
        vm.running = False

        def restart(call: str) -> None:
            stage.world.clock.sleep(DEAD_AFTER_S / 2 if call.startswith("evict") else 0)
            vm.running = True

        stage.world.on_call = restart
        assert stage.perform(Drain(machine=W1)).note == "1 pod evicted"

    def test_a_node_that_kubernetes_does_not_have_has_nothing_to_drain(self, stage: Stage) -> None:
        del stage.world.kube_nodes[W1]
        assert stage.perform(Drain(machine=W1)) == Done(changed=False, note="Kubernetes has no such node")

    def test_an_api_that_goes_away_is_waited_for_and_told(self, stage: Stage) -> None:
        stage.put(pod("web-1"))

        def lose(call: str) -> None:
            if call.startswith("evict"):
                stage.vm(CP1).running = False

        stage.world.on_call = lose
        with pytest.raises(DrainError) as caught:
            stage.perform(Drain(machine=W1, timeout_s=30))
        assert "no Kubernetes API on" in caught.value.details
        warnings = [event.message for event in stage.events if isinstance(event, Warned)]
        assert [f"kubectl uncordon {W1}" in message for message in warnings] == [True]

    def test_an_api_that_does_not_answer_at_all_is_an_error(self, stage: Stage) -> None:
        stage.vm(CP1).running = False
        with pytest.raises(DeadlineError, match=f"Kubernetes to cordon {W1}") as caught:
            stage.perform(Drain(machine=W1))
        assert "no Kubernetes API on" in caught.value.details
        assert stage.world.clock.now_s() <= 2 * ANSWER_S

    @pytest.mark.parametrize("hiccups", [1, 2, 5])
    def test_etcd_that_has_no_leader_for_a_moment_fails_nothing(self, stage: Stage, hiccups: int) -> None:
        for step in (Drain(machine=W1), Uncordon(machine=W1), Reclaim(machine=W1)):
            stage.world.hiccups = hiccups
            stage.perform(step)
            assert stage.world.hiccups == 0
        assert stage.schedulable()

    def test_uncordoning_is_done_once(self, stage: Stage) -> None:
        stage.perform(Drain(machine=W1))
        assert [stage.perform(Uncordon(machine=W1)).changed for _ in range(2)] == [True, False]
        assert stage.schedulable()


PODS = st.lists(
    st.builds(
        FakePod,
        pod=st.builds(
            Pod,
            namespace=st.sampled_from(["default", "shop"]),
            name=st.just("pod"),
            uid=st.uuids().map(str),
            controller=st.sampled_from(["", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"]),
            finished=st.booleans(),
            mirror=st.booleans(),
            local_data=st.booleans(),
            leaving=st.just(False),
        ),
        on=st.sampled_from([W1, W2, None]),
        app=st.sampled_from(["web", "db"]),
        grace_s=st.sampled_from([0.1, 1.0, 40.0]),
        stuck=st.sampled_from([False, False, False, True]),
    ),
    max_size=12,
)
BUDGETS = st.lists(
    st.builds(
        FakeBudget,
        st.sampled_from(["default", "shop"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from(["web", "db"]),
        st.integers(0, 4),
    ),
    max_size=3,
)


@settings(deadline=None, max_examples=200)
@given(pods=PODS, budgets=BUDGETS, before=st.booleans(), data=st.booleans(), bare=st.booleans())
def test_a_drain_takes_all_that_may_go_and_nothing_else_or_leaves_the_node_as_it_was(
    pods: list[FakePod], budgets: list[FakeBudget], before: bool, data: bool, bare: bool
) -> None:
    stage = Stage()
    kube = stage.kube
    kube.set_unschedulable(W1, unschedulable=before)
    stage.put(*pods)
    stage.world.workloads.budgets.extend(budgets)
    there = kube.pods(on=W1)
    elsewhere = {pod.uid for pod in kube.pods(on=W2)}
    try:
        stage.perform(Drain(machine=W1, delete_local_data=data, delete_bare=bare, timeout_s=120))
    except DrainError:
        assert stage.schedulable() == (not before)
    else:
        left = {pod.uid for pod in kube.pods(on=W1)}
        assert left == {pod.uid for pod in there if not is_evictable(pod)}
        assert not stage.schedulable()
        lost = [pod for pod in there if pod.uid not in left and not pod.finished]
        assert data or not any(pod.local_data for pod in lost)
        assert bare or all(pod.controller for pod in lost)
    assert elsewhere <= {pod.uid for pod in kube.pods(on=W2)}

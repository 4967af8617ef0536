"""A paused VM does no work: no verb takes it for a running one, and what helps is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.errors import PreflightError
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Observed, Snapshot
from bootstrap.planning.healthy_server import healthy_server
from bootstrap.planning.plan import Plan
from bootstrap.planning.verbs.restore import plan_restore
from bootstrap.planning.verbs.rotate import plan_rotate
from bootstrap.planning.verbs.upgrade import upgrade_start
from bootstrap.planning.view import ClusterView
from tests.fakes.seen import seen, vm
from tests.fakes.specs import cluster, control_plane, workers

SPEC = cluster(3, 2)
SNAPSHOT = Snapshot(name="a", machine=MachineName("demo-cp-1"), location="file:///a")


def with_paused(*names: str, halted: str = "io-error") -> Observed:
    """All machines Ready: of one that was paused just now Kubernetes says so for 40 s more."""
    vms = [vm(control_plane(3), n) for n in (1, 2, 3)] + [vm(workers(2), n) for n in (1, 2)]
    return seen(*(replace(each, halted=halted) if each.name in names else each for each in vms), etcd=True)


def steps(plan: Plan, name: str) -> list[str]:
    return [type(each.step).__name__ for lane in plan.lanes if lane.name == name for each in lane.steps]


def test_restore_resumes_a_paused_server_and_leaves_a_paused_agent_to_up() -> None:
    plan = plan_restore(ClusterView(SPEC, with_paused("demo-cp-2", "demo-workers-2")), SNAPSHOT, server=None)
    assert steps(plan, "demo-cp-2")[0] == "StartVm"
    assert steps(plan, "demo-cp-3")[0] == "AwaitGuest"
    assert steps(plan, "demo-workers-1")
    assert steps(plan, "demo-workers-2") == []
    assert "demo-workers-2 is paused (io-error): `homelab-k8s up` starts it afterwards" in plan.notes


def test_rotate_goes_round_a_paused_machine_and_names_it() -> None:
    plan = plan_rotate(ClusterView(SPEC, with_paused("demo-cp-1", "demo-workers-2", halted="paused")), unfinished=False)
    assert (steps(plan, "demo-cp-1"), steps(plan, "demo-workers-2")) == ([], [])
    assert steps(plan, "demo-cp-2")
    assert "demo-workers-2 is paused: it gets the new token from `homelab-k8s up`" in plan.notes


def test_upgrade_refuses_with_the_paused_machine_and_up() -> None:
    with pytest.raises(PreflightError, match="demo-workers-2: paused") as refused:
        upgrade_start(ClusterView(SPEC, with_paused("demo-workers-2")))
    assert "`homelab-k8s up`" in refused.value.resolution


def test_no_command_goes_through_a_paused_server() -> None:
    chosen = healthy_server(ClusterView(SPEC, with_paused("demo-cp-1")))
    assert chosen is not None
    assert chosen.name == "demo-cp-2"

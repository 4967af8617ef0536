"""Ready alone can be stale: it counts with the VM's state, the lease's age and the unit; a server that starts is waited
for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.cli.text.status import status_text
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.reports.status_values import Datastore
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import PreflightError
from bootstrap.events import Event, Told
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.waiting import reporting_to
from tests.fakes.specs import cluster
from tests.fakes.world import FakeVm, World

AGENT, SERVER = "demo-workers-1", "demo-cp-1"
WISH = Scale(counts={PoolName("workers"): 2})


def built(spec: ClusterSpec) -> World:
    world = World()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    return world


def vm(world: World, name: str) -> FakeVm:
    found = world.vm_named(name)
    assert found is not None
    return found


def ready(world: World, spec: ClusterSpec, name: str) -> bool | None:
    return next(row.ready for row in cluster_status(spec, world.ports).machines if row.name == name)


def test_a_stopped_vm_is_not_ready_whatever_its_node_says() -> None:
    spec = cluster(3, 1)
    world = built(spec)
    world.lease_ages_s["demo-cp-3"] = 5.0  # Kubernetes marks it after 40 s only
    vm(world, "demo-cp-3").running = False
    status = cluster_status(spec, world.ports)
    assert not ready(world, spec, "demo-cp-3")
    assert status.datastore == Datastore(kind="etcd", members=3, ready=2)
    assert any("demo-cp-3: powered off" in problem for problem in status.problems)


def test_a_ready_that_does_not_hold_any_more_is_stale() -> None:
    """`kubectl get nodes` says Ready of all three: for 40 s, and for as long as no API server is there to mark them."""
    spec = cluster(agents=3)
    world = built(spec)
    world.lease_ages_s[AGENT] = 5.0
    vm(world, AGENT).running = False
    world.lease_ages_s["demo-workers-2"] = 75.0
    vm(world, "demo-workers-3").unit = ""
    world.lease_ages_s["demo-workers-3"] = 15.0
    status = cluster_status(spec, world.ports)
    assert [(row.name, row.ready, row.stale) for row in status.machines] == [
        (SERVER, True, False),
        (AGENT, False, True),
        ("demo-workers-2", False, True),
        ("demo-workers-3", False, True),
    ]
    lines = status_text(status).splitlines()
    assert [" no (stale) " in line for line in lines[1:5]] == [False, True, True, True]


def test_what_kubernetes_itself_calls_not_ready_is_not_stale() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    name = MachineName(AGENT)
    gone = "NodeStatusUnknown: Kubelet stopped posting node status."
    world.kube_nodes[name] = replace(world.kube_nodes[name], ready=False, problem=gone)
    (row,) = (row for row in cluster_status(spec, world.ports).machines if row.name == AGENT)
    assert (row.ready, row.stale) == (False, False)


def test_a_stopped_unit_is_not_ready_as_soon_as_its_lease_has_missed_a_renewal() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    vm(world, AGENT).unit = ""
    world.lease_ages_s[AGENT] = 15.0
    assert ready(world, spec, AGENT) is False
    (problem,) = cluster_status(spec, world.ports).problems
    assert "demo-workers-1: not Ready (k3s-agent is inactive" in problem
    assert "15 s ago" in problem
    assert problem.endswith(": `homelab-k8s up`")
    plan = Up().plan(spec, world.ports)
    assert not plan.empty
    del world.lease_ages_s[AGENT]
    Up().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert vm(world, AGENT).unit == "k3s-agent"


def test_up_that_finds_nothing_to_do_asks_the_machines_first() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    vm(world, AGENT).unit = ""
    world.lease_ages_s[AGENT] = 1.0  # it was stopped a moment ago
    plan = Up().plan(spec, world.ports)
    assert [machine.spec.name for machine in plan.machines if machine.action != "keep"] == [AGENT]
    world.no_ssh.add(AGENT)
    assert Up().plan(spec, world.ports).empty  # that nobody answers there says nothing yet


@pytest.mark.parametrize("unit_late", [True, False])
def test_a_renewal_that_is_late_says_nothing_where_k3s_runs(unit_late: bool) -> None:
    spec = cluster(agents=1)
    world = built(spec)
    world.lease_ages_s[AGENT] = 25.0
    if unit_late:
        world.late_units.add(AGENT)  # its unit is activating for minutes while all is well
    assert ready(world, spec, AGENT)
    assert Up().plan(spec, world.ports).empty


def test_a_machine_that_answers_nobody_is_not_ready() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    world.no_ssh.add(AGENT)
    assert ready(world, spec, AGENT)  # it renews its lease: nobody asks it
    world.lease_ages_s[AGENT] = 15.0
    assert ready(world, spec, AGENT) is False


def test_three_renewals_missed_are_enough() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    world.lease_ages_s[AGENT] = 31.0
    assert ready(world, spec, AGENT) is False
    assert not Up().plan(spec, world.ports).empty


def test_a_server_that_starts_is_waited_for_and_said() -> None:
    world = built(cluster(agents=1))
    vm(world, SERVER).unit = ""
    world.starts_at_s[SERVER] = world.clock.now_s() + 20.0
    told: list[Event] = []
    with reporting_to(told.append):
        plan = WISH.plan(cluster(agents=1), world.ports)
    assert [machine.spec.name for machine in plan.machines if machine.action == "create"] == ["demo-workers-2"]
    first = told[0]
    assert isinstance(first, Told)
    assert "k3s on demo-cp-1 is activating" in first.message
    assert "waiting up to 90 s" in first.message


def test_a_server_whose_vm_boots_is_waited_for() -> None:
    world = built(cluster(agents=1))
    server = vm(world, SERVER)
    world.no_ssh.add(SERVER)
    server.unit, began_s = "", world.clock.now_s()
    with pytest.raises(PreflightError, match="no server of demo is Ready"):
        WISH.plan(cluster(agents=1), world.ports)  # its uptime stays 0 here, and it never comes
    assert 80.0 < world.clock.now_s() - began_s < 120.0


@pytest.mark.parametrize("loops", [True, False])
def test_a_server_that_does_not_come_is_not_waited_for(loops: bool) -> None:
    world = built(cluster(agents=1))
    vm(world, SERVER).unit = ""
    if loops:
        world.broken_units[SERVER] = 'level=fatal msg="Error: something new"'
        vm(world, SERVER).unit_began_s = world.clock.now_s() - 20.0
    began_s = world.clock.now_s()
    with pytest.raises(PreflightError, match="no server of demo is Ready"):
        WISH.plan(cluster(agents=1), world.ports)
    assert world.clock.now_s() - began_s < 5.0

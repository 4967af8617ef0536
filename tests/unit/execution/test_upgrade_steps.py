"""`upgrade` over an in-memory world: whole, again, broken and continued; and sqlite moved to etcd."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions, run_plan
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.versions import choose_version
from bootstrap.commands.verbs.up import Up
from bootstrap.commands.verbs.upgrade import Upgrade
from bootstrap.errors import ArtifactError, GuestError, HomelabError, PreflightError, RunFailedError, UsageError
from bootstrap.events import Event, StepFinished
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Pod
from bootstrap.planning.day2_steps import MigrateToEtcd
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.plan import Plan
from bootstrap.planning.provision.joining import access_lane
from bootstrap.planning.verbs.upgrade import UpgradeOptions
from bootstrap.records.state.token_history import ClusterTokens
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.fakes.world.workloads import FakeBudget, FakePod

OLD, NEXT, LAST = "v1.33.3+k3s1", "v1.34.6+k3s1", "v1.35.1+k3s1"
HOW = UpgradeOptions(snapshot=False)
W1 = MachineName("demo-workers-1")


@pytest.fixture
def world() -> World:
    return made(cluster(1, 2))


def made(spec: ClusterSpec) -> World:
    world = World(channels={"v1.33": OLD, "v1.34": NEXT, "stable": OLD})
    ports = world.ports
    Up().run(Up().plan(spec, ports), spec, ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    world.channels["stable"] = LAST
    return world


def upgrade(
    world: World, to: str | None = None, *, spec: ClusterSpec | None = None, channel: str | None = None
) -> tuple[Report, list[Event]]:
    spec = spec or cluster(1, 2)
    events: list[Event] = []
    ports, verb_options = world.ports, Upgrade(to=to, channel=channel, how=HOW)
    plan = verb_options.plan(spec, ports)
    return verb_options.run(plan, spec, ports, sink=events.append, options=RunOptions()), events


def restarts(world: World) -> list[str]:
    return [call.removeprefix("restart ") for call in world.journal if call.startswith("restart ")]


def versions(world: World) -> set[str]:
    return {node.version for node in world.kube_nodes.values()}


def test_every_machine_climbs_every_minor_servers_first(world: World) -> None:
    files = {vm.name: dict(vm.files) for vm in world.vms.values()}
    upgrade(world, channel="stable")
    assert versions(world) == {LAST}
    assert restarts(world) == ["demo-cp-1", "demo-workers-1", "demo-workers-2"] * 2
    assert {vm.name: vm.files for vm in world.vms.values()} == files  # config and token stay
    assert not any(node.unschedulable for node in world.kube_nodes.values())


def test_a_second_upgrade_has_nothing_to_do(world: World) -> None:
    upgrade(world, LAST)
    world.journal.clear()
    plan = Upgrade(to=LAST, how=HOW).plan(cluster(1, 2), world.ports)
    assert plan.empty
    assert world.journal == []


def test_three_servers_go_one_after_another() -> None:
    spec = cluster(3, 1)
    world = made(spec)
    world.channels["v1.33"] = "v1.33.13+k3s1"
    upgrade(world, NEXT, spec=spec)
    one_round = ["demo-cp-1", "demo-cp-2", "demo-cp-3", "demo-workers-1"]
    assert restarts(world) == one_round * 2  # v1.33.10+k3s1 first, for etcd
    assert versions(world) == {NEXT}


def test_a_machine_that_does_not_come_back_stops_all_that_follow_and_is_continued(world: World) -> None:
    world.broken_units["demo-workers-1"] = 'level=fatal msg="no space left on device"'
    with pytest.raises(GuestError, match="demo-workers-1") as failure:
        upgrade(world, NEXT)
    assert "no space left on device" in failure.value.details
    assert "`homelab-k8s upgrade` again continues" in failure.value.resolution
    assert failure.value.exit_code == 1
    assert restarts(world) == ["demo-cp-1", "demo-workers-1"]
    assert world.kube_nodes[W1].unschedulable
    assert world.kube_nodes[MachineName("demo-workers-2")].version == OLD

    world.broken_units.clear()
    world.journal.clear()
    upgrade(world, NEXT)
    assert restarts(world) == ["demo-workers-1", "demo-workers-2"]
    assert [call for call in world.journal if call.startswith("upload")] == ["upload demo-workers-2"]
    assert versions(world) == {NEXT}
    assert not any(node.unschedulable for node in world.kube_nodes.values())


def in_parallel(world: World, number: int, spec: ClusterSpec) -> None:
    ports, verb_options = world.ports, Upgrade(to=NEXT, how=replace(HOW, max_unavailable=number))
    plan = verb_options.plan(spec, ports)
    verb_options.run(plan, spec, ports, sink=lambda _event: None, options=RunOptions())


def test_workers_that_fail_together_are_continued_one_by_one() -> None:
    spec = cluster(1, 4)
    world = made(spec)
    failing = ("demo-workers-1", "demo-workers-2")
    world.broken_units |= dict.fromkeys(failing, 'level=fatal msg="no space left on device"')
    with pytest.raises(RunFailedError):
        in_parallel(world, 2, spec)
    assert sorted(restarts(world)) == ["demo-cp-1", *failing], "both began, and no third"
    assert {node.name for node in world.kube_nodes.values() if node.unschedulable} == set(failing)

    world.broken_units.clear()
    world.journal.clear()
    in_parallel(world, 1, spec)
    assert restarts(world) == [f"demo-workers-{number}" for number in range(1, 5)]
    assert versions(world) == {NEXT}
    assert not any(node.unschedulable for node in world.kube_nodes.values())


def test_a_budget_rules_over_drains_that_run_together() -> None:
    spec = cluster(1, 3)
    world = made(spec)
    for number in (1, 2):
        pod = Pod(namespace="shop", name=f"web-{number}", uid=f"web-{number}", controller="ReplicaSet")
        world.workloads.pods.append(FakePod(pod=pod, on=MachineName(f"demo-workers-{number}"), app="web"))
    world.workloads.budgets.append(FakeBudget(namespace="shop", name="web", app="web", min_available=2))
    with pytest.raises(HomelabError, match="shop/web"):
        in_parallel(world, 2, spec)
    assert restarts(world) == ["demo-cp-1"], "neither was touched"
    assert not any(node.unschedulable for node in world.kube_nodes.values())

    world.workloads.budgets[:] = [FakeBudget(namespace="shop", name="web", app="web", min_available=1)]
    in_parallel(world, 2, spec)
    assert versions(world) == {NEXT}


def test_a_binary_that_is_there_but_does_not_run_is_restarted(world: World) -> None:
    """A run that was killed between the binary and the restart."""
    upgrade(world, NEXT)
    world.kube_nodes[W1] = replace(world.kube_nodes[W1], version=OLD, unschedulable=True)
    world.journal.clear()
    upgrade(world, NEXT)
    assert restarts(world) == ["demo-workers-1"]
    assert world.kube_nodes[W1].version == NEXT
    assert not any(call.startswith("upload") for call in world.journal)


def test_the_way_down_is_refused(world: World) -> None:
    upgrade(world, NEXT)
    world.journal.clear()
    with pytest.raises(PreflightError, match="never downgraded"):
        upgrade(world, "v1.34.5+k3s1")
    assert world.journal == []


def test_what_is_not_to_be_had_is_refused_before_anything_is_touched(world: World) -> None:
    del world.channels["v1.34"]
    with pytest.raises(ArtifactError, match=r"v1\.34"):
        upgrade(world, LAST)
    world.no_release = ArtifactError("no such release")
    with pytest.raises(ArtifactError, match="no such release"):
        upgrade(world, NEXT)
    assert world.journal == []


def test_a_version_and_a_channel_contradict_each_other(world: World) -> None:
    with pytest.raises(UsageError, match="either a version or a channel"):
        upgrade(world, NEXT, channel="stable")


def test_machines_that_join_later_get_what_the_servers_run(world: World) -> None:
    upgrade(world, NEXT)
    ports = world.ports
    assert choose_version(observe_cluster(cluster(1, 2), ports), ports) == NEXT
    spec = cluster(1, 3)
    Up().run(Up().plan(spec, ports), spec, ports, sink=lambda _event: None, options=RunOptions())
    assert world.kube_nodes[MachineName("demo-workers-3")].version == NEXT


def migrate(world: World, spec: ClusterSpec) -> list[StepFinished]:
    ports = world.ports
    server = needed_server(observe_cluster(spec, ports))
    lane = access_lane(spec, server, MigrateToEtcd(machine=server))
    events: list[Event] = []
    plan: Plan = replace(Up().plan(spec, ports), lanes=(lane,))
    tokens = ClusterTokens(server="")
    run_plan(plan, spec, ports, tokens=tokens, sink=events.append, options=RunOptions()).raise_failures()
    return [event for event in events if isinstance(event, StepFinished) and event.phase == "migrate"]


def test_sqlite_moves_to_etcd_once() -> None:
    spec = replace(cluster(1, 1), control_plane=replace(cluster(1, 1).control_plane, labels=(("disk", "ssd"),)))
    world = made(spec)
    name = MachineName("demo-cp-1")
    token = world.vms[min(world.vms)].files["service.env"]
    assert "etcd" not in world.kube_nodes[name].roles
    assert [event.changed for event in migrate(world, spec)] == [True]
    assert "etcd" in world.kube_nodes[name].roles
    config = world.vms[min(world.vms)].files["config.yaml"]
    assert "cluster-init: true" in config
    assert "disk=ssd" in config
    assert world.vms[min(world.vms)].files["service.env"] == token
    assert [event.changed for event in migrate(world, spec)] == [False]
    assert restarts(world) == ["demo-cp-1"]

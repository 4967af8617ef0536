"""Variables of k3s's units: created, changed, removed by `up`, one machine after another, and shown nowhere."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.model.cluster import ClusterSpec, K3sSpec
from bootstrap.model.ids import PoolName
from bootstrap.model.settings.environment import EnvironmentSpec
from tests.fakes.world import World
from tests.fakes.world.k3s import environment
from tests.unit.commands.test_registries import ALL
from tests.unit.commands.test_settings import THREE, built, restarts, up

PLAIN = replace(THREE, network=replace(THREE.network, subnet=IPv4Network("192.0.2.0/24")))
USERS = "GOGC='50'\n"


def with_variables(**variables: str) -> ClusterSpec:
    return replace(PLAIN, k3s=K3sSpec(environment=EnvironmentSpec(variables=tuple(variables.items()))))


OLD, NEW = (with_variables(HTTPS_PROXY=f"http://me:{word}-SECRET@10.0.0.1:3128") for word in ("OLD", "NEW"))
MORE = with_variables(HTTPS_PROXY="http://me:OLD-SECRET@10.0.0.1:3128", GOMEMLIMIT="2GiB")


def variables(world: World) -> dict[str, dict[str, str]]:
    found = {vm.name: environment(vm.files["service.env"]) for vm in world.vms.values()}
    return {name: {key: value for key, value in each.items() if "TOKEN" not in key} for name, each in found.items()}


def add(world: World, name: str, text: str) -> None:
    vm = world.vm_named(name)
    assert vm is not None
    vm.files["service.env"] += text


def test_new_machines_have_them_from_the_start_and_others_do_not_restart_for_that() -> None:
    world = built(OLD)
    assert sorted(name for name, found in variables(world).items() if "OLD-SECRET" in found["HTTPS_PROXY"]) == sorted(
        ALL
    )
    assert cluster_status(OLD, world.ports).healthy
    assert Up().plan(OLD, world.ports).empty
    verb = Scale(counts={PoolName("workers"): 3})
    verb.run(verb.plan(OLD, world.ports), OLD, world.ports, sink=lambda _event: None, options=RunOptions())
    assert "OLD-SECRET" in variables(world)["demo-workers-3"]["HTTPS_PROXY"]
    assert restarts(world) == []
    bigger = replace(OLD, workers=tuple(replace(pool, count=3) for pool in OLD.workers))
    assert cluster_status(bigger, world.ports).healthy


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (PLAIN, OLD, ["k3s.environment (HTTPS_PROXY): none -> one", "k3s.environment (NO_PROXY): none -> one"]),
        (OLD, NEW, ["k3s.environment (HTTPS_PROXY): a different one"]),
        (OLD, MORE, ["k3s.environment (GOMEMLIMIT): none -> one"]),
        (MORE, OLD, ["k3s.environment (GOMEMLIMIT): one -> none"]),
        (OLD, PLAIN, ["k3s.environment (HTTPS_PROXY): one -> none", "k3s.environment (NO_PROXY): one -> none"]),
    ],
    ids=["new", "password", "one more", "one less", "removed"],
)
def test_a_change_is_told_planned_and_rolled_out_once_to_all_machines(
    before: ClusterSpec, after: ClusterSpec, changes: list[str]
) -> None:
    world = built(before)
    for name in ALL:
        add(world, name, USERS)
    problems, plan = cluster_status(after, world.ports).problems, Up().plan(after, world.ports)
    assert [str(problem).partition(" (demo")[0] for problem in problems] == changes
    shown = {machine.spec.name: machine.reason for machine in plan.machines if machine.action == "restart"}
    assert shown == dict.fromkeys(ALL, f"settings: {'; '.join(changes)}")
    assert "SECRET" not in repr((problems, plan))
    assert world.journal == []
    up(world, after)
    assert restarts(world) == ALL
    assert cluster_status(after, world.ports).healthy
    assert Up().plan(after, world.ports).empty
    assert {found["GOGC"] for found in variables(world).values()} == {"50"}
    assert after is not PLAIN or {len(found) for found in variables(world).values()} == {1}
    assert after is not NEW or "OLD-SECRET" not in repr(variables(world))


def test_a_line_that_was_changed_or_added_on_a_machine_is_put_right_there_alone() -> None:
    world = built(OLD)
    add(world, "demo-workers-2", "NO_PROXY=*\n")
    (problem,) = cluster_status(OLD, world.ports).problems
    assert "k3s.environment (NO_PROXY): a different one (demo-workers-2)" in problem
    up(world, OLD)
    assert restarts(world) == ["demo-workers-2"]
    assert Up().plan(OLD, world.ports).empty


@pytest.mark.parametrize("script", ["put-settings.sh", "start-k3s.sh"])
@pytest.mark.parametrize("after", [NEW, PLAIN], ids=["password", "removed"])
def test_a_roll_out_that_was_cut_off_is_continued(script: str, after: ClusterSpec) -> None:
    world = built(OLD)
    world.broken_scripts.add(script)
    with pytest.raises(HomelabError) as failed:
        up(world, after)
    assert "SECRET" not in repr((str(failed.value), failed.value.details, failed.value.resolution))
    world.broken_scripts.clear()
    up(world, after)
    assert restarts(world) == ALL
    assert Up().plan(after, world.ports).empty


def test_where_nothing_was_ever_set_no_machine_is_looked_into() -> None:
    world = built(PLAIN)
    assert cluster_status(PLAIN, world.ports).healthy
    assert world.looked_into == []

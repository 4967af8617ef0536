"""Packages and kernel settings: on new machines before k3s, on running ones by `up` without a restart of k3s."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.model.cluster import ClusterSpec, K3sSpec
from bootstrap.model.machine import MachineKind
from bootstrap.model.settings.system import SystemSpec
from bootstrap.planning.day2_steps import ApplySettings, PrepareSystem
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.steps import JoinAgent
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_containers import world as with_containers

BARE = cluster(3, 2)
ISCSI = SystemSpec(packages=("open-iscsi",), kernel_modules=("iscsi_tcp",), sysctls=(("vm.max_map_count", "262144"),))
SPEC = replace(BARE, system=ISCSI)


def pooled(spec: ClusterSpec, system: SystemSpec) -> ClusterSpec:
    return replace(spec, workers=tuple(replace(pool, system=system) for pool in spec.workers))


def up(world: World, spec: ClusterSpec) -> Plan:
    plan = Up().plan(spec, world.ports)
    Up().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    return plan


def built(spec: ClusterSpec = BARE) -> World:
    world = World()
    up(world, spec)
    world.journal.clear()
    return world


def acted(world: World, *words: str) -> list[str]:
    return [call for call in world.journal if call.startswith(words)]


def test_new_machines_have_them_before_k3s() -> None:
    world = World()
    plan = up(world, SPEC)
    assert len(list(steps_of(plan, PrepareSystem))) == 5
    for vm in world.vms.values():
        if vm.name.startswith("demo-"):
            own = [call.split()[0] for call in world.journal if f" {vm.name}" in f"{call} "]
            assert own.index("system") < own.index("install")
            assert vm.files["system"].splitlines() == [
                "package open-iscsi", "module iscsi_tcp", "sysctl vm.max_map_count = 262144",
            ]  # fmt: skip
    assert Up().plan(SPEC, world.ports).empty
    assert cluster_status(SPEC, world.ports).healthy


def test_a_living_cluster_gets_them_without_a_restart() -> None:
    world = built()
    told = cluster_status(SPEC, world.ports).problems
    assert [text.partition(" differs")[0] for text in told] == [
        "package open-iscsi", "module iscsi_tcp", "sysctl vm.max_map_count",
    ]  # fmt: skip
    assert all("demo-cp-1" in text and "demo-workers-2" in text and "`homelab-k8s up`" in text for text in told)
    plan = up(world, SPEC)
    assert {machine.action for machine in plan.machines} == {"configure"}
    assert all("package open-iscsi" in machine.reason for machine in plan.machines)
    assert len(acted(world, "system")) == 5
    assert acted(world, "restart", "install") == []
    assert cluster_status(SPEC, world.ports).healthy
    assert Up().plan(SPEC, world.ports).empty


def test_a_pools_are_added_to_those_of_all() -> None:
    world = built(SPEC)
    more = pooled(SPEC, SystemSpec(packages=("nfs-common",), sysctls=(("vm.max_map_count", "524288"),)))
    up(world, more)
    assert sorted(acted(world, "system")) == ["system demo-workers-1", "system demo-workers-2"]
    worker = world.vm_named("demo-workers-1")
    assert worker is not None
    assert worker.files["system"].splitlines() == [
        "package nfs-common", "package open-iscsi", "module iscsi_tcp", "sysctl vm.max_map_count = 524288",
    ]  # fmt: skip


def test_they_come_before_a_restart_with_other_settings() -> None:
    world = built()
    plan = up(world, replace(SPEC, k3s=K3sSpec(disable=("traefik",))))
    for lane in plan.lanes:
        kinds = [type(each.step) for each in lane.steps]
        if ApplySettings in kinds:
            assert kinds.index(PrepareSystem) < kinds.index(ApplySettings)
    assert {machine.action for machine in plan.machines} == {"restart", "configure"}


def test_a_machine_that_is_added_gets_them_as_it_joins() -> None:
    world = built(SPEC)
    plan = up(world, replace(SPEC, workers=cluster(3, 3).workers))
    assert acted(world, "system") == ["system demo-workers-3"]
    lane = next(lane for lane in plan.lanes if lane.name == "demo-workers-3")
    kinds = [type(each.step) for each in lane.steps]
    assert kinds.index(PrepareSystem) < kinds.index(JoinAgent)


def test_a_package_that_leaves_the_inventory_stays_and_is_named() -> None:
    world = built(SPEC)
    fewer = replace(SPEC, system=replace(ISCSI, packages=()))
    plan = Up().plan(fewer, world.ports)
    assert plan.empty
    assert any("open-iscsi is no longer in the inventory and stays installed" in note for note in plan.notes)
    assert any("sudo apt-get remove open-iscsi" in text for text in cluster_status(fewer, world.ports).problems)
    assert acted(world, "system") == []


@pytest.mark.parametrize("manager", ["dnf", "zypper"])
def test_the_command_that_removes_it_is_that_of_the_machines_package_manager(manager: str) -> None:
    world = built(SPEC)
    world.manager = manager
    (problem,) = cluster_status(replace(SPEC, system=replace(ISCSI, packages=())), world.ports).problems
    assert f"ssh demo-cp-1 -- sudo {manager} remove open-iscsi`" in problem


def test_a_machine_that_cannot_be_asked_is_left_alone() -> None:
    world = built()
    world.broken_scripts.add("prepare-system.sh")
    assert Up().plan(SPEC, world.ports).empty


def test_a_refused_package_names_the_machine_and_stops_it_before_k3s() -> None:
    world = World()
    world.broken_scripts.add("prepare-system.sh")
    with pytest.raises(HomelabError) as caught:
        up(world, replace(cluster(1, 0), system=ISCSI))
    assert "demo-cp-1: files, packages or kernel settings of the inventory could not be applied" in str(caught.value)
    assert acted(world, "install") == []


def test_containers_get_packages_and_the_plan_says_why_nothing_else() -> None:
    world = with_containers()
    light = replace(
        SPEC, control_plane=cluster(1).control_plane, workers=(replace(BARE.workers[0], kind=MachineKind.LXC, count=1),)
    )
    plan = Up().plan(light, world.ports)
    assert [step.system for step in steps_of(plan, PrepareSystem)] == [ISCSI, SystemSpec(packages=("open-iscsi",))]
    assert any("do not apply to containers (demo-workers-1)" in note for note in plan.notes)


def test_without_any_no_machine_is_asked() -> None:
    world = built()
    world.broken_scripts.add("prepare-system.sh")
    assert not list(steps_of(Up().plan(replace(BARE, workers=cluster(3, 3).workers), world.ports), PrepareSystem))
    assert cluster_status(BARE, world.ports).healthy

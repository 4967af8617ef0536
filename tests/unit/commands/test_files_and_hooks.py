"""Files and hooks of the user's: on new machines, on running ones by `up`, and never their content in what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.model.cluster import ClusterSpec, K3sSpec
from bootstrap.model.settings.system import FileSpec, HookSpec, HookTime, SystemSpec
from bootstrap.planning.day2_steps import ApplySettings, PrepareSystem, RunHooks
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.steps import AwaitReady, JoinAgent
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_packages import BARE, acted, built, pooled, up

SECRET = b"tr0ub4dor-and-3"
CHAP = FileSpec(path="/etc/iscsi/chap", mode="0600", content=SECRET, secret=True)
MOTD = FileSpec(path="/etc/motd", mode="0644", content=b"hi\n")


def hook(name: str, time: HookTime = HookTime.BEFORE_K3S, content: bytes = b"#!/bin/sh\n") -> HookSpec:
    return HookSpec(name=name, time=time, content=content, env=(("P", SECRET.decode()),), secrets=(SECRET.decode(),))


HOOKS = (hook("tune"), hook("announce", HookTime.AFTER_READY))
SPEC = replace(BARE, system=SystemSpec(files=(CHAP, MOTD), hooks=HOOKS))


def without_files(spec: ClusterSpec = SPEC) -> ClusterSpec:
    return replace(spec, system=replace(spec.system, files=()))


def told(plan: Plan) -> str:
    return repr(plan) + "".join(each.step.title for lane in plan.lanes for each in lane.steps)


def test_new_machines_have_files_and_run_hooks_before_k3s_and_once_ready() -> None:
    world = World()
    plan = up(world, SPEC)
    for lane in plan.lanes:
        kinds = [type(each.step) for each in lane.steps]
        if JoinAgent in kinds:
            assert kinds.index(PrepareSystem) < kinds.index(RunHooks) < kinds.index(JoinAgent)
            assert kinds[-2:] == [AwaitReady, RunHooks]
    for vm in (each for each in world.vms.values() if each.name.startswith("demo-")):
        own = [call.split()[0] for call in world.journal if f" {vm.name}" in f"{call} "]
        assert own.index("system") < own.index("hook") < own.index("install")
        assert own[-1] == "hook"
    assert Up().plan(SPEC, world.ports).empty
    assert cluster_status(SPEC, world.ports).healthy
    assert SECRET.decode() not in told(plan)


def test_hooks_are_told_where_they_run() -> None:
    world = World()
    up(world, SPEC)
    parameters = next(env for machine, name, env in world.hooks if (machine, name) == ("demo-workers-1", "announce"))
    vm = world.vm_named("demo-workers-1")
    assert vm is not None
    assert parameters.items() >= {
        "MACHINE": "demo-workers-1", "ROLE": "agent", "POOL": "workers", "CLUSTER": "demo", "ADDRESS": str(vm.address),
        "TIME": "after_ready", "P": SECRET.decode(),
    }.items()  # fmt: skip
    assert parameters["K3S_VERSION"].startswith("v1.")
    assert {env["ROLE"] for machine, _name, env in world.hooks if "-cp-" in machine} == {"server"}


def test_a_living_cluster_gets_them_without_a_restart() -> None:
    world = built()
    problems = cluster_status(SPEC, world.ports).problems
    assert [text.partition(" (")[0] for text in problems] == [
        "file /etc/iscsi/chap differs from the inventory", "file /etc/motd differs from the inventory",
        "the before_k3s hook tune has not run", "the after_ready hook announce has not run",
    ]  # fmt: skip
    plan = up(world, SPEC)
    assert {machine.action for machine in plan.machines} == {"configure"}
    assert all("hook tune, hook announce" in machine.reason for machine in plan.machines)
    assert len(acted(world, "system")) == 5
    assert len(acted(world, "hook")) == 10
    assert acted(world, "restart", "install") == []
    assert all(step.in_turn for step in steps_of(plan, RunHooks))
    assert Up().plan(SPEC, world.ports).empty
    assert SECRET.decode() not in told(plan) + "".join(problems)


def test_only_a_changed_hook_runs_again() -> None:
    world = built(SPEC)
    changed = replace(SPEC, system=replace(SPEC.system, hooks=(hook("tune", content=b"#!/bin/sh\nx\n"), HOOKS[1])))
    plan = up(world, changed)
    assert list(steps_of(plan, PrepareSystem)) == []
    assert {call.split()[2] for call in acted(world, "hook")} == {"tune"}
    renamed = replace(
        changed, system=replace(changed.system, hooks=(replace(changed.system.hooks[0], name="other"), HOOKS[1]))
    )
    assert Up().plan(renamed, world.ports).empty


def test_after_a_failure_no_further_machine_runs_it_and_the_next_up_does() -> None:
    world = built()
    world.failing_hooks.update(vm.name for vm in world.vms.values())
    with pytest.raises(HomelabError) as caught:
        up(world, SPEC)
    (acted_on,) = acted(world, "hook")
    assert str(caught.value).startswith(f"{acted_on.split()[1]}: the before_k3s hook tune ended with status 1"), (
        "whichever was first: the others have not failed"
    )
    assert "one\n" in f"{caught.value.details}\n"
    world.failing_hooks.clear()
    up(world, SPEC)
    assert cluster_status(SPEC, world.ports).healthy


def test_a_failure_before_k3s_keeps_a_new_machine_from_joining() -> None:
    world = World()
    world.failing_hooks.add("demo-cp-1")
    with pytest.raises(HomelabError) as caught:
        up(world, replace(SPEC, control_plane=cluster(1).control_plane, workers=()))
    assert "demo-cp-1: the before_k3s hook tune ended with status 1" in str(caught.value)
    assert acted(world, "install") == []
    world.failing_hooks.clear()
    up(world, replace(SPEC, control_plane=cluster(1).control_plane, workers=()))
    assert len(acted(world, "hook")) == 3


def test_they_come_around_a_restart_with_other_settings() -> None:
    world = built()
    plan = up(world, replace(SPEC, k3s=K3sSpec(disable=("traefik",))))
    lanes = [lane for lane in plan.lanes if any(isinstance(each.step, ApplySettings) for each in lane.steps)]
    assert len(lanes) == 3
    for lane in lanes:
        kinds = [type(each.step) for each in lane.steps if not isinstance(each.step, AwaitReady)]
        at = kinds.index(ApplySettings)
        assert kinds[at - 2 :] == [PrepareSystem, RunHooks, ApplySettings, RunHooks]


def test_a_file_that_leaves_the_inventory_is_removed() -> None:
    world = built(SPEC)
    fewer = without_files()
    assert any(
        "the file /etc/motd is no longer in the inventory (demo-cp-1" in text
        for text in cluster_status(fewer, world.ports).problems
    )
    plan = up(world, fewer)
    titles = {step.title for step in steps_of(plan, PrepareSystem)}
    assert titles == {"remove /etc/iscsi/chap, /etc/motd"}
    assert Up().plan(fewer, world.ports).empty


def test_also_where_nothing_at_all_is_left_in_the_inventory() -> None:
    """Machines say with their units' states that they have something, so that no other one is asked for it."""
    world = built(SPEC)
    plan = up(world, BARE)
    assert {step.title for step in steps_of(plan, PrepareSystem)} == {"remove /etc/iscsi/chap, /etc/motd"}
    world.broken_scripts.add("prepare-system.sh")
    assert Up().plan(BARE, world.ports).empty
    assert cluster_status(BARE, world.ports).healthy


def test_a_file_that_was_changed_there_is_kept_and_told() -> None:
    world = built(SPEC)
    world.lies["prepare-system.sh"] = lambda _text: "kept=/etc/motd\nchanged=0\n"
    plan = Up().plan(without_files(), world.ports)
    assert plan.empty
    (note,) = (text for text in plan.notes if "/etc/motd" in text)
    assert "was changed on demo-cp-1, demo-cp-2" in note
    assert "sudo rm /etc/motd" in note


def test_a_pools_are_added_to_those_of_all() -> None:
    world = built(SPEC)
    up(
        world,
        pooled(SPEC, SystemSpec(files=(replace(MOTD, content=b"worker\n"),), hooks=(hook("gpu", content=b"#!/x"),))),
    )
    assert sorted(acted(world, "system")) == ["system demo-workers-1", "system demo-workers-2"]
    assert sorted(acted(world, "hook")) == ["hook demo-workers-1 gpu", "hook demo-workers-2 gpu"]


@pytest.mark.parametrize("said", ["differs=file $(id)\n", "differs=hook x\n", "kept=x y\n", "left=$(id)\n"])
def test_what_a_machine_says_is_of_the_form_or_it_is_passed_over(said: str) -> None:
    world = built()
    world.lies["prepare-system.sh"] = lambda _text: said
    assert Up().plan(SPEC, world.ports).empty


def test_what_a_hooks_run_says_is_read_and_not_believed() -> None:
    world = built()
    world.lies["run-hook.sh"] = lambda _text: "changed=1\nstatus=many\n"
    with pytest.raises(HomelabError):
        up(world, SPEC)

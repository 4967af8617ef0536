"""Machines that know another SSH key than ours: that is said, and `adopt` has their guest agents add it."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.adopt import Adopt
from bootstrap.commands.verbs.up import Up
from bootstrap.events import Event, StepFinished, Warned
from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.fakes.world.vm import AUTHORIZED_KEYS, OLD_KEY
from tests.unit.commands import test_containers as containers
from tests.unit.commands.test_forged_records import built

DEMO = ClusterName("demo")
SPEC = cluster(1, 1)
NAMES = ("demo-cp-1", "demo-workers-1")


def lost() -> World:
    """A cluster whose machines know a key that is on no computer any more."""
    world = built(SPEC)
    world.keys.lose(DEMO)
    world.refuses_key |= {vm.name for vm in world.vms.values()}
    world.journal.clear()
    return world


def adopt(world: World, spec: ClusterSpec = SPEC) -> tuple[dict[str, str], dict[str, str]]:
    """What was said of each machine: in warnings, and as the note of the step that gives it the key."""
    told = list[Event]()
    plan = Adopt().plan(spec, world.ports)
    assert not plan.empty
    Adopt().run(plan, spec, world.ports, sink=told.append, options=RunOptions())
    warned = {one.subject: one.message for one in told if isinstance(one, Warned) and one.subject != "demo"}
    ended = {one.lane: one.note for one in told if isinstance(one, StepFinished) and "SSH key" in one.title}
    return warned, ended


def keys_on(world: World, name: str) -> str:
    vm = world.vm_named(name)
    assert vm is not None
    return vm.guest_files[AUTHORIZED_KEYS]


def test_the_guest_agent_adds_one_line_and_a_login_shows_that_it_counts() -> None:
    world = lost()
    warned, ended = adopt(world)
    assert warned == {}
    assert ended == dict.fromkeys(NAMES, f"added to {AUTHORIZED_KEYS} by its guest agent; a login shows that it does")
    for name in NAMES:
        assert keys_on(world, name) == f"{OLD_KEY}{world.ports.shells.public_key}\n"
    assert Adopt().plan(SPEC, world.ports).empty
    assert Up().plan(SPEC, world.ports).empty
    assert cluster_status(SPEC, world.ports).healthy


def test_a_machine_that_takes_the_key_already_is_not_written_to() -> None:
    world = lost()
    world.refuses_key.clear()
    assert adopt(world) == ({}, dict.fromkeys(NAMES, "it does already"))
    assert not [call for call in world.journal if call.startswith("write")]


def _may_not(world: World) -> None:
    world.may_not_write_files = True


def _silent(world: World) -> None:
    world.silent.add("demo-workers-1")


def _odd(text: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        vm = world.vm_named("demo-workers-1")
        assert vm is not None
        vm.guest_files[AUTHORIZED_KEYS] = text

    return change


def _gone(world: World) -> None:
    vm = world.vm_named("demo-workers-1")
    assert vm is not None
    del vm.guest_files[AUTHORIZED_KEYS]


def _in_vain(world: World) -> None:
    world.key_in_vain = True


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_may_not, "lacks VM.GuestAgent.FileWrite"),
        (_silent, "QEMU guest agent is not running"),
        (_gone, "No such file or directory"),
        (_odd("ssh-ed25519 AAAAmine müller@home\n"), "is no ASCII text of at most 61440 characters"),
        (_odd("#" * 61_430 + "\n"), "is no ASCII text of at most 61440 characters"),
        (_in_vain, "but sshd still refuses it"),
    ],
)
def test_where_it_cannot_be_the_command_is_told_and_nothing_is_lost(change: Callable[[World], None], why: str) -> None:
    world = lost()
    change(world)
    before = world.vm_named("demo-workers-1")
    assert before is not None
    held = before.guest_files.get(AUTHORIZED_KEYS)
    warned, ended = adopt(world)
    said = warned["demo-workers-1"]
    assert why in said
    assert "\n" not in said
    assert ended["demo-workers-1"] == "not yet"
    command = shlex.split(said.split("`")[1])
    assert command[:6] == ["qm", "guest", "exec", "7001", "--", "sh"]
    assert shlex.split(command[-1].partition(">>")[0]) == ["echo", world.ports.shells.public_key]
    assert command[-1].endswith(">>~debian/.ssh/authorized_keys")
    assert (before.guest_files.get(AUTHORIZED_KEYS) or "").startswith(held or "")


def test_a_file_that_was_cut_is_told_with_what_it_held() -> None:
    world = lost()
    world.cuts_writes["demo-workers-1"] = 5
    said = adopt(world)[0]["demo-workers-1"]
    assert "may be damaged: " in said
    assert OLD_KEY.strip() in said


def test_a_container_has_its_own_command() -> None:
    world = containers.world()
    containers.up(world)
    world.keys.lose(DEMO)
    world.refuses_key |= {vm.name for vm in world.vms.values()}
    warned, _ = adopt(world, containers.SPEC)
    assert list(warned) == [containers.LIGHT]
    assert "a container has no guest agent" in warned[containers.LIGHT]
    assert f"`pct exec {containers.container(world).vmid} -- sh -c" in warned[containers.LIGHT]


def test_a_token_that_may_not_is_told_before_with_the_command_that_grants_it() -> None:
    world = lost()
    world.missing = (
        MissingPrivileges(path="/vms", privileges=("VM.GuestAgent.FileWrite",), remedy="pveum role modify X"),
    )
    notes = Adopt().plan(SPEC, world.ports).notes
    assert [note for note in notes if "may not write files in machines" in note and "pveum role modify X" in note]


def test_status_and_up_say_that_a_machine_refuses_our_key() -> None:
    """Both said that all was well: nobody had asked, or had heard the answer."""
    world = built(SPEC)
    world.refuses_key.add("demo-workers-1")
    status = cluster_status(SPEC, world.ports)
    (problem,) = status.problems
    assert problem.startswith("demo-workers-1: refuses our SSH key")
    assert "`homelab-k8s adopt demo`" in problem
    assert "`homelab-k8s replace demo-workers-1`" in problem
    assert all(row.ready for row in status.machines), "it works all the same"
    plan = Up().plan(SPEC, world.ports)
    assert plan.refusing == ("demo-workers-1",)
    assert problem in plan.notes


def test_a_signed_machine_that_refuses_our_key_is_given_it_as_well() -> None:
    """What `status` advises; its record has been signed by an earlier `adopt`."""
    world = built(SPEC)
    world.refuses_key.add("demo-workers-1")
    warned, ended = adopt(world)
    assert (warned, list(ended)) == ({}, ["demo-workers-1"])
    assert cluster_status(SPEC, world.ports).healthy

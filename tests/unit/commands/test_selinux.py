"""Who makes machines of a distribution with SELinux is told what they lack."""

from __future__ import annotations

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.up import Up
from bootstrap.events import Event, Warned
from tests.fakes.specs import cluster
from tests.fakes.world import World


def warned(lacks: str) -> list[str]:
    world, told = World(), list[Event]()
    world.selinux_lacks = lacks
    spec = cluster(1, 1)
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=told.append, options=RunOptions())
    return [event.message for event in told if isinstance(event, Warned) and "SELinux" in event.message]


def test_up_warns_of_each_machine_before_k3s_is_installed_there() -> None:
    warnings = warned("k3s-selinux")
    assert len(warnings) == 2
    assert all("k3s-selinux is not installed" in warning for warning in warnings)


def test_nothing_is_told_where_nothing_is_missing() -> None:
    assert warned("") == []

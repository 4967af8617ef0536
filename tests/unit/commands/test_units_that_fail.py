"""k3s does not come up on a machine: what `up` says of it, and when."""

from __future__ import annotations

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import DeadlineError, GuestError, HomelabError, InterruptedRunError
from bootstrap.events import Event, Waiting
from tests.fakes.k3s_failures import ENDS, GOING_ON, T
from tests.fakes.specs import cluster
from tests.fakes.world import World

AGENT = "demo-workers-1"
SOON_S = 20.0


def up(said: str, *, machine: str = AGENT, world: World | None = None) -> tuple[HomelabError, float, list[Event]]:
    """What `up` ends with, how long after the start of the unit, and its events."""
    world = world or World(broken_units={machine: said})
    spec, events = cluster(agents=1), list[Event]()
    ports = world.ports
    with pytest.raises(HomelabError) as failure:
        Up().run(Up().plan(spec, ports), spec, ports, sink=events.append, options=RunOptions())
    vm = world.vm_named(machine)
    assert vm is not None
    return failure.value, world.clock.now_s() - vm.unit_began_s, events


def told_first(events: list[Event]) -> Waiting:
    """The first word of the wait for k3s. All lanes share the clock: the wait for the boot may have its own before."""
    told = [event for event in events if isinstance(event, Waiting) and event.lane == AGENT]
    return next(event for event in told if event.what == f"k3s-agent on {AGENT} to join")


@pytest.mark.parametrize(
    ("said", "words"), [*ENDS, *((said, words) for said, words, final in GOING_ON if final)]
)  # fmt: skip
def test_a_cause_that_no_waiting_changes_ends_the_wait_soon(said: str, words: str) -> None:
    error, took_s, _ = up(said)
    assert isinstance(error, GuestError)
    assert words in error.brief
    assert said[:400] in error.details
    assert took_s <= SOON_S


def test_a_server_that_ends_again_and_again_ends_the_wait_soon() -> None:
    error, took_s, _ = up(ENDS[0][0], machine="demo-cp-1")
    assert ENDS[0][1] in error.brief
    assert took_s <= SOON_S


@pytest.mark.parametrize(("said", "words"), [(said, words) for said, words, final in GOING_ON if not final])
def test_a_cause_that_may_pass_is_said_soon_and_waited_for(said: str, words: str) -> None:
    error, took_s, events = up(said)
    assert isinstance(error, DeadlineError)
    assert took_s > 200.0
    told = told_first(events)
    assert words in told.problem
    assert told.waited_s <= SOON_S
    assert said[:300] in error.details


def test_an_unknown_end_is_told_in_its_own_words_and_not_waited_for_to_the_end() -> None:
    line = f'{T}level=fatal msg="Error: something new"'
    error, took_s, events = up(line)
    assert "demo-workers-1: k3s-agent does not start: k3s exits with: something new" in error.brief
    assert line in error.details
    assert took_s < 40.0
    told = told_first(events)
    assert "something new" in told.problem
    assert told.waited_s <= SOON_S


def test_a_cause_that_passes_in_time_fails_nothing() -> None:
    for line in (f'{T}level=fatal msg="Error: something new"', ENDS[1][0]):
        world = World()
        heals_s = 17.0 if "something" in line else 5.0
        _heal_after(world, line, heals_s)
        spec = cluster(agents=1)
        Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def _heal_after(world: World, line: str, after_s: float) -> None:
    """The agent's k3s fails for so long; the next try of systemd's succeeds."""
    world.broken_units[AGENT] = line
    world.heals_after_s[AGENT] = after_s


def test_the_last_lines_are_shown_where_no_cause_is_known() -> None:
    line = f'{T}level=warning msg="Waiting for something unusual"'
    error, _, _ = up(line)
    assert isinstance(error, DeadlineError)
    assert line in error.details


def test_a_remedy_is_said_once() -> None:
    error, _, _ = up(GOING_ON[0][0])
    assert error.resolution.count("`homelab-k8s up`") == 1
    assert "delete secret demo-workers-1.node-password.k3s" in error.resolution
    assert "kubectl delete node demo-workers-1" in error.resolution


def test_what_an_earlier_machine_of_the_name_has_left_is_deleted_after_a_killed_run_too() -> None:
    world = World()
    Up().run(
        Up().plan(cluster(agents=0), world.ports), cluster(agents=0), world.ports, sink=print, options=RunOptions()
    )
    world.node_passwords[AGENT] = "of a machine that no longer exists"  # it never registered: there is no node
    spec, options = cluster(agents=1), RunOptions()
    world.on_call = lambda call: options.stop.set() if call == f"upload {AGENT}" else None
    with pytest.raises(InterruptedRunError):
        Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=options)
    world.on_call = lambda _call: None
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    vm = world.vm_named(AGENT)
    assert vm is not None
    assert world.node_passwords[AGENT] == vm.smbios_uuid

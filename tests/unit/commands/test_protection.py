"""`protect: true`: nothing removes the cluster or leaves it fewer servers, and everything else works as before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.rebuild_state import read_rebuild
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, HypervisorError, PreflightError
from bootstrap.events import Event
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import CONTROL_PLANE_POOL
from bootstrap.planning.verbs.replace import ReplaceOptions
from bootstrap.records.state.rebuild_note import Stage
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World

OPEN = cluster(3, 2)
PROTECTED = replace(OPEN, protect=True)
SERVERS = Scale(counts={CONTROL_PLANE_POOL: 1})
REMOVALS = [
    pytest.param(Down(), "down", id="down"),
    pytest.param(Rebuild(), "rebuild", id="rebuild"),
    pytest.param(Rebuild(keep_identity=True), "rebuild", id="rebuild-keeping"),
    pytest.param(SERVERS, "scale control-plane 1", id="fewer-servers"),
]


def carry_out(world: World, verb: Verb, spec: ClusterSpec) -> list[Event]:
    told: list[Event] = []
    verb.run(verb.plan(spec, world.ports), spec, world.ports, sink=told.append, options=RunOptions())
    return told


def dying_at(world: World, verb: str, *, nth: int = 1) -> None:
    """Proxmox VE fails from the nth request of a kind on."""
    seen = 0

    def on_call(call: str) -> None:
        nonlocal seen
        seen += call.startswith(verb)
        if seen >= nth:
            raise HypervisorError("the cable was pulled")

    world.on_call = on_call


def names(world: World) -> set[str]:
    """The machines' VMs; a run that was cut off may leave its marker VM as well."""
    return {vm.name for vm in world.vms.values() if "-cp-" in vm.name or "-workers-" in vm.name}


def identities(world: World) -> set[str]:
    return {vm.smbios_uuid for vm in world.vms.values() if "-cp-" in vm.name}


@pytest.fixture
def world() -> World:
    world = World()
    carry_out(world, Up(), OPEN)
    return world


@pytest.mark.parametrize(("verb", "command"), REMOVALS)
def test_a_protected_cluster_keeps_its_machines_and_the_refusal_says_how_to_lift_it(
    world: World, verb: Verb, command: str
) -> None:
    before = names(world)
    with pytest.raises(PreflightError, match="demo is protected") as caught:
        verb.plan(PROTECTED, world.ports)
    assert caught.value.exit_code == 4
    assert "nothing was changed" in caught.value.brief
    assert "`protect: false`" in caught.value.resolution
    assert f"`homelab-k8s {command}`" in caught.value.resolution
    assert names(world) == before


@pytest.mark.parametrize(("verb", "command"), REMOVALS)
def test_once_the_file_says_otherwise_it_is_done(world: World, verb: Verb, command: str) -> None:
    assert command
    assert verb.plan(replace(PROTECTED, protect=False), world.ports).lanes


def test_a_plan_that_was_confirmed_before_the_file_was_changed_is_refused_under_the_lock(world: World) -> None:
    plan = Down().plan(OPEN, world.ports)
    with pytest.raises(PreflightError, match="protected"):
        Down().run(plan, PROTECTED, world.ports, sink=lambda _event: None, options=RunOptions())
    assert len(names(world)) == 5


def test_workers_come_and_go_and_up_finds_nothing_to_do(world: World) -> None:
    carry_out(world, Scale(counts={PoolName("workers"): 1}), PROTECTED)
    assert "demo-workers-2" not in names(world)
    carry_out(world, Scale(counts={PoolName("workers"): 2}), PROTECTED)
    assert Up().plan(PROTECTED, world.ports).empty


def test_a_protected_server_is_replaced_since_their_number_stays(world: World) -> None:
    carry_out(world, Replace(ReplaceOptions(pool=CONTROL_PLANE_POOL, machines=(MachineName("demo-cp-2"),))), PROTECTED)
    assert {name for name in names(world) if "-cp-" in name} == {"demo-cp-1", "demo-cp-3", "demo-cp-4"}


def test_an_interrupted_replacement_of_all_servers_goes_on_though_protected(world: World) -> None:
    """Free numbers are used again, so the machines are told apart by their identities."""
    verb = Replace(ReplaceOptions(pool=CONTROL_PLANE_POOL))
    before = identities(world)
    dying_at(world, "destroy", nth=2)
    with pytest.raises(HomelabError):
        carry_out(world, verb, PROTECTED)
    world.on_call = lambda _call: None
    carry_out(world, verb, PROTECTED)
    assert len(identities(world)) == 3
    assert not identities(world) & before


@pytest.mark.parametrize(
    "verb",
    [SERVERS, Scale(), Replace(ReplaceOptions(pool=CONTROL_PLANE_POOL))],
    ids=["scale-again", "scale-all", "replace"],
)
def test_servers_that_an_interrupted_scale_was_removing_stay_once_the_file_protects(world: World, verb: Verb) -> None:
    """Each of these would have finished the removal."""
    fewer = cluster(1, 2)
    dying_at(world, "destroy")
    with pytest.raises(HomelabError):
        carry_out(world, SERVERS, fewer)
    world.on_call = lambda _call: None
    before = names(world)
    with pytest.raises(PreflightError, match="demo is protected"):
        verb.plan(replace(fewer, protect=True), world.ports)
    assert names(world) == before


@pytest.mark.parametrize("stage", Stage)
def test_an_interrupted_rebuild_goes_on_only_where_nothing_is_left_to_remove(stage: Stage) -> None:
    spec = cluster(1, 2)
    world = World()
    carry_out(world, Up(), spec)
    removing = stage is Stage.TEARING_DOWN
    dying_at(world, "destroy" if removing else "clone", nth=2 if removing else 1)
    with pytest.raises(HomelabError):
        carry_out(world, Rebuild(), spec)
    world.on_call = lambda _call: None
    noted = read_rebuild(DEMO, world.ports)
    assert noted is not None
    assert noted.stage is stage
    protected = replace(spec, protect=True)
    if removing:
        with pytest.raises(PreflightError, match="protected"):
            Rebuild().plan(protected, world.ports)
    else:
        carry_out(world, Rebuild(), protected)
        assert len(names(world)) == 3

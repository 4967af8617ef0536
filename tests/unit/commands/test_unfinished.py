"""Commands that are cut off are remembered as what they were, as long as what is seen bears that out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.restore import Restore
from bootstrap.commands.verbs.rotate import RotateToken
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.commands.verbs.upgrade import Upgrade
from bootstrap.errors import HomelabError, HypervisorError
from bootstrap.events import Event, Warned
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName, Vmid
from bootstrap.planning.verbs.replace import ReplaceOptions
from bootstrap.planning.verbs.upgrade import UpgradeOptions
from bootstrap.records.state.intention import Intention, parse_intention, render_intention
from bootstrap.records.state.state_items import UNFINISHED
from bootstrap.records.vms.lock import LockRecord
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World
from tests.fakes.world.markers import marker_vm

SPEC = cluster(1, 3)
WORKERS = PoolName("workers")
NEW = "v1.33.7+k3s1"
Act = Callable[[World, ClusterSpec], object]


def quiet(_event: Event) -> None:
    pass


def up(world: World, spec: ClusterSpec) -> list[str]:
    told: list[Event] = []
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=told.append, options=RunOptions())
    return [event.message for event in told if isinstance(event, Warned)]


def down(world: World, spec: ClusterSpec) -> None:
    Down().run(Down().plan(spec, world.ports), spec, world.ports, sink=quiet, options=RunOptions())


def scale(world: World, spec: ClusterSpec, count: int | None = 1) -> None:
    verb_options = Scale(counts={WORKERS: count} if count is not None else {})
    plan = verb_options.plan(spec, world.ports)
    if not plan.empty:  # as the command line does
        verb_options.run(plan, spec, world.ports, sink=quiet, options=RunOptions())


def roll(world: World, spec: ClusterSpec, verb_options: ReplaceOptions | None = None) -> None:
    verb_options = verb_options or ReplaceOptions(pool=WORKERS)
    Replace(verb_options).run(
        Replace(verb_options).plan(spec, world.ports), spec, world.ports, sink=quiet, options=RunOptions()
    )


def roll_one(world: World, spec: ClusterSpec) -> None:
    roll(world, spec, ReplaceOptions(pool=PoolName(""), machines=(MachineName("demo-workers-2"),), surge=False))


def upgrade(world: World, spec: ClusterSpec) -> None:
    verb_options = Upgrade(to=NEW)
    verb_options.run(verb_options.plan(spec, world.ports), spec, world.ports, sink=quiet, options=RunOptions())


def roll_two_at_a_time(world: World, spec: ClusterSpec) -> None:
    roll(world, spec, ReplaceOptions(pool=WORKERS, at_once=2))


def upgrade_two_at_a_time(world: World, spec: ClusterSpec) -> None:
    verb_options = Upgrade(to=NEW, how=UpgradeOptions(max_unavailable=2))
    verb_options.run(verb_options.plan(spec, world.ports), spec, world.ports, sink=quiet, options=RunOptions())


def rotate(world: World, spec: ClusterSpec) -> None:
    RotateToken().run(RotateToken().plan(spec, world.ports), spec, world.ports, sink=quiet, options=RunOptions())


def restore(world: World, spec: ClusterSpec) -> None:
    verb_options = Restore(snapshot="latest", directory=Path("/nonexistent"))
    verb_options.run(verb_options.plan(spec, world.ports), spec, world.ports, sink=quiet, options=RunOptions())


def built(spec: ClusterSpec = SPEC) -> World:
    world = World()
    up(world, spec)
    backup = Backup()
    backup.run(backup.plan(spec, world.ports), spec, world.ports, sink=quiet, options=RunOptions())
    world.journal.clear()
    return world


def cut(world: World, act: Act, spec: ClusterSpec, *, at: str, nth: int = 1) -> None:
    """Have a command die right after the nth call of a verb."""
    seen = []

    def on_call(call: str) -> None:
        if call.startswith(at):
            seen.append(call)
        if len(seen) >= nth:
            raise HypervisorError("died")

    world.on_call = on_call
    with pytest.raises(HomelabError):
        act(world, spec)
    world.on_call = lambda _call: None


def problems(world: World, spec: ClusterSpec = SPEC) -> tuple[str, ...]:
    return cluster_status(spec, world.ports).problems


CASES: tuple[tuple[Act, str, int, str], ...] = (
    (down, "destroy", 2, "down"),
    (scale, "destroy", 1, "scale workers 1"),
    (lambda world, spec: scale(world, spec, 5), "clone", 1, "scale workers 5"),
    (lambda world, spec: scale(world, spec, 5), "install", 1, "scale workers 5"),
    (roll, "destroy", 1, "replace --pool workers"),
    (roll, "install", 1, "replace --pool workers"),
    (roll_one, "destroy", 1, "replace demo-workers-2"),
    (upgrade, "restart", 2, f"upgrade --to {NEW}"),
    (roll_two_at_a_time, "destroy", 1, "replace --pool workers --parallel 2"),
    (upgrade_two_at_a_time, "restart", 2, f"upgrade --to {NEW} --parallel 2"),
    (restore, "restore", 1, "restore manual-demo-cp-1-1740830400.sqlite"),
    (rotate, "rotate", 1, "rotate token"),
)


@pytest.mark.parametrize(("act", "at", "nth", "again"), CASES)
def test_status_says_what_continues_a_command_that_was_cut_off_until_it_has_ended(
    act: Act, at: str, nth: int, again: str
) -> None:
    world = built()
    cut(world, act, SPEC, at=at, nth=nth)
    first = problems(world)[0]
    assert f"did not finish: `homelab-k8s {again}` continues it" in first
    assert " UTC did" in first
    act(world, SPEC)
    assert not [line for line in problems(world) if "did not finish" in line]
    assert not world.state.get((DEMO, UNFINISHED))


@pytest.mark.parametrize("surge", [True, False])
@pytest.mark.parametrize(("at", "nth"), [("clone", 1), ("destroy", 1), ("destroy", 2), ("destroy", 3)])
@pytest.mark.parametrize("stated", [1, 3])
def test_a_replacement_that_was_cut_off_ends_with_as_many_machines_as_it_began_with(
    *, surge: bool, at: str, nth: int, stated: int
) -> None:
    world = built()
    spec = cluster(1, stated)
    old = {vm.smbios_uuid for vm in world.vms.values() if "workers" in vm.name}
    verb_options = ReplaceOptions(pool=WORKERS, surge=surge)
    cut(world, lambda world, spec: roll(world, spec, verb_options), spec, at=at, nth=nth)
    roll(world, spec, verb_options)
    assert len([name for name in world.kube_nodes if "workers" in name]) == 3
    assert not old & {vm.smbios_uuid for vm in world.vms.values()}


def test_replace_after_scale_keeps_what_scale_has_made() -> None:
    world = built(cluster(1, 1))
    scale(world, cluster(1, 1), 3)
    roll(world, cluster(1, 1))
    assert len([name for name in world.kube_nodes if "workers" in name]) == 3


def test_replace_after_a_scale_that_was_cut_off_neither_finishes_nor_undoes_it() -> None:
    world = built()
    cut(world, lambda world, spec: scale(world, spec, 5), SPEC, at="clone", nth=1)
    before = sum("workers" in vm.name for vm in world.vms.values())
    roll(world, SPEC, ReplaceOptions(pool=PoolName(""), machines=(MachineName("demo-workers-1"),)))
    assert len([name for name in world.kube_nodes if "workers" in name]) == before
    world = built()
    cut(world, lambda world, spec: scale(world, spec, 2), SPEC, at="stop", nth=1)
    roll(world, SPEC)
    assert len([name for name in world.kube_nodes if "workers" in name]) == 2


def test_up_on_a_half_removed_cluster_says_that_it_creates_it_again_and_then_it_is_forgotten() -> None:
    world = built()
    cut(world, down, SPEC, at="destroy", nth=3)
    gone = [f"demo-workers-{n}" for n in (1, 2, 3) if world.vm_named(f"demo-workers-{n}") is None]
    assert gone
    (note,) = [note for note in Up().plan(SPEC, world.ports).notes if "`down`" in note]
    assert "creates again what it removed" in note
    assert all(name in note for name in gone)
    assert "`homelab-k8s down` continues the removal" in note
    assert note in up(world, SPEC)
    assert problems(world) == ()


def test_a_down_of_which_no_machine_is_left_is_no_longer_told() -> None:
    world = built()
    cut(world, down, SPEC, at="destroy", nth=2)
    for vm in list(world.vms.values()):
        del world.vms[vm.vmid]
    assert problems(world) == ("the cluster does not exist; `homelab-k8s up` builds it",)
    assert not [note for note in Up().plan(SPEC, world.ports).notes if "`down`" in note]


def test_without_a_state_directory_records_tell_what_they_can() -> None:
    world = built()
    cut(world, scale, SPEC, at="destroy", nth=1)
    world.state = {key: text for key, text in world.state.items() if key[1] == "kubeconfig"}
    assert any("was being removed" in line for line in problems(world))


def test_who_has_changed_his_mind_gives_every_pool_the_inventorys_size() -> None:
    world = built()
    cut(world, lambda world, spec: scale(world, spec, 5), SPEC, at="clone", nth=1)
    assert "`homelab-k8s scale` resizes every pool to the inventory's size instead" in problems(world)[0]
    scale(world, SPEC, None)
    assert problems(world) == ()
    world.state[DEMO, UNFINISHED] = render_intention(
        Intention(command="scale", again="scale workers 5", since="noon", counts=((WORKERS, 5),))
    )
    assert "did not finish" in problems(world)[0]
    scale(world, SPEC, None)
    assert problems(world) == ()


def test_a_command_that_is_at_work_is_not_told_as_cut_off() -> None:
    world = built()
    cut(world, scale, SPEC, at="destroy", nth=1)
    record = LockRecord(cluster=DEMO, who="you@there", pid=4, process="x/4", run="r", command="scale", since="noon")
    world.vms[Vmid(7999)] = marker_vm(record)
    assert not [line for line in problems(world) if "did not finish" in line]


def test_a_note_of_another_form_counts_for_nothing() -> None:
    world = built()
    world.state[DEMO, UNFINISHED] = "{"
    assert problems(world) == ()
    for text in (None, "", "[]", '{"format": 2}', '{"format": 1, "counts": []}'):
        assert parse_intention(text) is None


@given(
    st.builds(
        Intention,
        command=st.sampled_from(["down", "scale", "replace"]),
        again=st.text(max_size=9),
        since=st.text(max_size=9),
        counts=st.dictionaries(st.text(max_size=5).map(PoolName), st.integers(0, 9), max_size=2).map(
            lambda counts: tuple(counts.items())
        ),
        machines=st.dictionaries(st.text(max_size=5).map(MachineName), st.text(max_size=3), max_size=2).map(
            lambda machines: tuple(machines.items())
        ),
        version=st.text(max_size=5),
    )
)
def test_a_note_reads_as_it_was_written(intention: Intention) -> None:
    assert parse_intention(render_intention(intention)) == intention


def test_an_upgrade_that_was_cut_off_is_told_by_up_too() -> None:
    world = built()
    cut(world, upgrade, SPEC, at="restart", nth=2)
    spec = replace(SPEC, k3s=replace(SPEC.k3s, version=None))
    assert any(f"`homelab-k8s upgrade --to {NEW}` continues it" in note for note in Up().plan(spec, world.ports).notes)

"""Two VMs whose records name one machine: every command says so, none acts on them, and `down` removes both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.guests import guests_of
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.restore import Restore
from bootstrap.commands.verbs.rotate import RotateToken
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.commands.verbs.upgrade import Upgrade
from bootstrap.errors import PreflightError
from bootstrap.model.ids import MachineName, PoolName, Vmid
from bootstrap.planning.verbs.replace import ReplaceOptions
from tests.fakes.keys import sealed
from tests.fakes.specs import cluster
from tests.fakes.world import PVE1, FakeVm, World

SPEC = cluster(agents=2)
WORKERS = PoolName("workers")
TWINS = "demo-workers-1 exists twice, as vmid 7001 on pve1 and vmid 7050 on pve1"


@pytest.fixture
def world() -> World:
    world = World()
    Up().run(Up().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    first = world.vms[Vmid(7001)]
    record = first.record().record
    assert first.name == "demo-workers-1"
    assert record is not None
    second = FakeVm(Vmid(7050), first.name, PVE1, tags=first.tags, settings=dict(first.settings))
    second.description = sealed(replace(record, vmid=Vmid(7050)), second.smbios_uuid)
    world.vms[Vmid(7050)] = second
    world.journal.clear()
    return world


def test_status_shows_both_and_the_problem(world: World) -> None:
    status = cluster_status(SPEC, world.ports)
    assert [row.vmid for row in status.machines if row.name == "demo-workers-1"] == [7001, 7050] or [
        row.vmid for row in status.machines if row.name == "demo-workers-1"
    ] == [7050, 7001]
    assert [problem for problem in status.problems if problem.startswith(TWINS)]


def test_up_leaves_them_alone_and_repairs_the_others(world: World) -> None:
    other = world.vm_named("demo-workers-2")
    assert other is not None
    other.running = False
    plan = Up().plan(SPEC, world.ports)
    assert plan.unreached[0].startswith(TWINS)
    Up().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert [call for call in world.journal if call.startswith(("start", "clone"))] == ["start demo-workers-2"]


@pytest.mark.parametrize(
    "prepare",
    [
        lambda world, _path: Replace(ReplaceOptions(pool=WORKERS, machines=(MachineName("demo-workers-1"),))).plan(
            SPEC, world.ports
        ),
        lambda world, _path: Replace(ReplaceOptions(pool=WORKERS)).plan(SPEC, world.ports),
        lambda world, _path: Scale(counts={WORKERS: 0}).plan(SPEC, world.ports),
        lambda world, _path: Upgrade(to="v1.33.4+k3s1").plan(SPEC, world.ports),
        lambda world, _path: RotateToken().plan(SPEC, world.ports),
        lambda world, path: Restore(snapshot=str(path), directory=path.parent).plan(SPEC, world.ports),
    ],
    ids=["replace", "replace pool", "scale", "upgrade", "rotate", "restore"],
)
def test_what_would_act_on_them_is_refused(
    world: World, prepare: Callable[[World, Path], object], tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.write_text("data")
    with pytest.raises(PreflightError, match="demo-workers-1 of demo exists more than once") as refusal:
        prepare(world, snapshot)
    assert refusal.value.details == "demo-workers-1: vmid 7001 on pve1\ndemo-workers-1: vmid 7050 on pve1"
    assert world.journal == []


def test_a_backup_goes_through_and_says_so(world: World) -> None:
    plan = Backup().plan(SPEC, world.ports)
    assert plan.lanes
    assert [note for note in plan.notes if note.startswith(TWINS)]


def test_down_removes_both(world: World) -> None:
    plan = Down().plan(SPEC, world.ports)
    assert [m.spec.name for m in plan.machines if "workers-1" in m.spec.name] == [
        "demo-workers-1/7001",
        "demo-workers-1/7050",
    ]
    Down().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert world.vms == {}
    assert world.state == {}


def test_rebuild_removes_both_and_builds_one(world: World) -> None:
    verb_options = Rebuild()
    plan = verb_options.plan(SPEC, world.ports)
    verb_options.run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert sorted(vm.name for vm in world.vms.values()) == ["demo-cp-1", "demo-workers-1", "demo-workers-2"]


def test_of_a_running_vm_and_its_copy_that_is_off_the_running_one_is_asked(world: World) -> None:
    world.vms[Vmid(7050)].running = False
    view = observe_cluster(SPEC, world.ports)
    assert guests_of(view)[MachineName("demo-workers-1")].vm.vmid == Vmid(7001)

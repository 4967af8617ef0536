"""Clones that are nothing but a lock yet, or for ever: waited for, never made twice, never removed, always named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.model.ids import Vmid
from bootstrap.model.machine import RecordState
from bootstrap.planning.members.existing_machines import plan_on
from bootstrap.planning.plan import Plan
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.machine import read_record
from tests.fakes.clock import SteppingClock
from tests.fakes.keys import sealed
from tests.fakes.seen import seen
from tests.fakes.specs import cluster
from tests.fakes.world import PVE1, FakeVm, World
from tests.unit.commands.test_doctor import PINNED, check

SPEC = cluster(1, 2)
SAID = "VM 7003 on pve1 is an unfinished clone without a name"
REMEDY = "as root on pve1: `qm unlock 7003 && qm destroy 7003`"


def up(world: World) -> None:
    Up().run(Up().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())


def built() -> World:
    world = World()
    up(world)
    return world


def orphan(world: World) -> FakeVm:
    """What a clone's worker leaves that was killed before the first volume was there."""
    vm = FakeVm(vmid=Vmid(7003), name="VM 7003", pve_node=PVE1, lock="clone")
    world.vms[vm.vmid] = vm
    return vm


@pytest.mark.parametrize(("shows_at_s", "clone_runs"), [(20, None), (500, True)])
def test_one_that_is_being_made_is_waited_for_and_not_made_twice(shows_at_s: int, clone_runs: bool | None) -> None:
    world = built()
    ours = world.vms[Vmid(7002)]
    record = read_record(ours.description)
    assert record is not None
    ours.running, ours.unit = False, ""
    del world.kube_nodes[record.machine]
    whole = (ours.name, sealed(replace(record, state=RecordState.CLONING), ours.smbios_uuid), "debian")
    ours.name, ours.description, ours.tags, ours.lock = "VM 7002", "", "", "clone"
    ours.clone_runs = clone_runs

    class Birth(SteppingClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now_s() > shows_at_s and ours.lock:
                (ours.name, ours.description, ours.tags), ours.lock = whole, None

    world.clock = Birth()
    world.journal.clear()
    up(world)
    assert not [call for call in world.journal if call.startswith("clone")]
    assert sorted(vm.name for vm in world.vms.values()) == ["demo-cp-1", "demo-workers-1", "demo-workers-2"]


def test_one_that_stays_so_is_left_alone_and_its_vmid_passed_over() -> None:
    world = World()
    vm = FakeVm(vmid=Vmid(7000), name="VM 7000", pve_node=PVE1, lock="clone")
    world.vms[vm.vmid] = vm
    up(world)
    assert sorted(world.vms) == [7000, 7001, 7002, 7003]
    Down().run(Down().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert world.vms == {vm.vmid: vm}


@pytest.mark.parametrize(("clone_runs", "waited_s"), [(False, 0), (None, 60), (True, 600)])
def test_it_is_waited_for_as_long_as_a_task_may_make_it(clone_runs: bool | None, waited_s: int) -> None:
    world = built()
    orphan(world).clone_runs = clone_runs
    began_s = world.clock.now_s()
    Up().plan(SPEC, world.ports)
    assert waited_s <= world.clock.now_s() - began_s < waited_s + 5


@pytest.mark.parametrize(
    "plan",
    [
        lambda world: Up().plan(SPEC, world.ports),
        lambda world: Down().plan(SPEC, world.ports),
        lambda world: Up().plan(cluster(1, 3), world.ports),
    ],
    ids=["nothing to do", "down", "more"],
)
def test_every_plan_names_it(plan: Callable[[World], Plan]) -> None:
    world = built()
    orphan(world)
    notes = [note for note in plan(world).notes if SAID in note]
    assert len(notes) == 1
    assert REMEDY in notes[0]


def test_so_does_a_plan_that_keeps_all_machines() -> None:
    there = seen()
    vm = orphan(World()).record()
    notes = plan_on("rotate", ClusterView(SPEC, replace(there, vms=(*there.vms, vm))), (), lanes=()).notes
    assert [note for note in notes if SAID in note]


def test_status_and_doctor_name_it() -> None:
    world = built()
    assert not [line for line in cluster_status(SPEC, world.ports).problems if SAID in line]
    orphan(world)
    (line,) = [line for line in cluster_status(SPEC, world.ports).problems if SAID in line]
    assert REMEDY in line
    assert SAID in check(diagnose(SPEC, PINNED, world.ports), "cluster").says


def test_doctor_names_it_before_there_is_a_cluster() -> None:
    world = World()
    orphan(world)
    assert SAID in check(diagnose(SPEC, PINNED, world.ports), "cluster").says


def test_one_outside_our_range_is_nobodys_business() -> None:
    world = built()
    vm = orphan(world)
    del world.vms[vm.vmid]
    world.vms[Vmid(200)] = replace(vm, vmid=Vmid(200))
    assert not [note for note in Up().plan(SPEC, world.ports).notes if "unfinished clone" in note]


def test_disks_that_nothing_uses_are_named_with_their_machine() -> None:
    world = built()
    world.vms[Vmid(7001)].settings["unused0"] = "local:7001/vm-7001-disk-2.qcow2"
    (note,) = [note for note in Up().plan(SPEC, world.ports).notes if "unused0" in note]
    assert note.startswith("demo-workers-1 has unused disks (unused0: local:7001/vm-7001-disk-2.qcow2)")
    assert "qm disk unlink 7001 --idlist unused0 --force 1" in note

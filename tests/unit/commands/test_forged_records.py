"""Who may change a VM's options can write our record into it: such a VM is foreign, and nothing is done to it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.clusters import all_clusters
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.adopt import Adopt
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.template import BuildTemplate, PruneTemplates
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, CloneAsked, MachineRecord, RecordState, Role
from bootstrap.planning.templates.build import BuildOptions
from bootstrap.records.vms.machine import read_record
from tests.fakes.keys import FakeKeys, sealed, unsealed
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import PVE1, FakeVm, World

TAGS = "demo;homelab-k8s"
Forge = Callable[[MachineRecord, str | None], str]


def by_hand(record: MachineRecord, identity: str | None) -> str:
    return unsealed(sealed(record, identity))


def with_a_key_of_ones_own(record: MachineRecord, identity: str | None) -> str:
    return sealed(record, identity, keys=FakeKeys("a neighbour's"))


def copied_from_another_vm(record: MachineRecord, identity: str | None) -> str:
    """As it was written for a VM of this vmid and name that is gone."""
    del identity
    return sealed(record, "that of a machine that no longer exists")


forged = pytest.mark.parametrize("forge", [by_hand, with_a_key_of_ones_own, copied_from_another_vm])


def record_of(name: str, vmid: int, state: RecordState = RecordState.MADE) -> MachineRecord:
    server = "-cp-" in name
    return MachineRecord(
        cluster=DEMO,
        machine=MachineName(name),
        role=Role.CONTROL_PLANE if server else Role.WORKER,
        pool=CONTROL_PLANE_POOL if server else PoolName("workers"),
        vmid=Vmid(vmid),
        state=state,
    )


def strangers_vm(
    world: World, name: str, vmid: int, forge: Forge, *, state: RecordState = RecordState.MADE, tags: str = TAGS
) -> FakeVm:
    """Somebody else's VM that was given our record."""
    vm = FakeVm(Vmid(vmid), name, PVE1, tags=tags, running=state is not RecordState.CLONING)
    vm.settings, vm.disk_gib = {"cores": 1, "memory": 4096}, 4000
    vm.description = forge(record_of(name, vmid, state), vm.smbios_uuid)
    world.vms[vm.vmid] = vm
    return vm


def up(world: World, spec: ClusterSpec) -> Report:
    return Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def down(world: World, spec: ClusterSpec) -> Report:
    return Down().run(Down().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def adopt(world: World, spec: ClusterSpec) -> Report:
    return Adopt().run(
        Adopt().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions()
    )


def built(spec: ClusterSpec) -> World:
    world = World()
    up(world, spec)
    world.journal.clear()
    return world


def of_an_earlier_release(spec: ClusterSpec) -> World:
    """A cluster whose records bear no seal."""
    world = built(spec)
    for vm in world.vms.values():
        vm.description = unsealed(vm.description)
    return world


@forged
def test_a_forged_worker_is_not_logged_in_to(forge: Forge) -> None:
    world = built(cluster(1, 1))
    forgery = strangers_vm(world, "demo-workers-2", 7050, forge)
    before = deepcopy(forgery)
    up(world, cluster(1, 2))
    assert forgery == before
    assert sorted(vmid for vmid, vm in world.vms.items() if vm.name == "demo-workers-2") == [7002, 7050]
    assert world.vms[Vmid(7002)].unit == "k3s-agent"


@forged
def test_a_forged_server_is_not_the_first_server(forge: Forge) -> None:
    """It was: the token and all secrets went to it."""
    world = World()
    forgery = strangers_vm(world, "demo-cp-1", 7050, forge)
    before = deepcopy(forgery)
    with pytest.raises(PreflightError, match="1 VM claims to be a machine of demo, but none is signed") as caught:
        Up().plan(cluster(1, 0), world.ports)
    assert "`homelab-k8s adopt demo`" in caught.value.resolution
    assert (world.journal, forgery) == ([], before)


def replayed(record: MachineRecord, identity: str | None) -> str:
    """A clone request's record, signed with our key, on a VM that no clone task of ours has made."""
    del identity
    return sealed(replace(record, cloned=CloneAsked(template=Vmid(9000), asked_s=1740830400)), None)


@pytest.mark.parametrize("forge", [by_hand, with_a_key_of_ones_own, copied_from_another_vm, replayed])
def test_a_strangers_stopped_vm_is_no_half_made_clone(forge: Forge) -> None:
    """It needs no tag, and was given our keys, cores and disk, and started."""
    world = built(cluster(1, 1))
    nas = strangers_vm(world, "demo-workers-2", 7050, forge, state=RecordState.CLONING, tags="")
    before = deepcopy(nas)
    up(world, cluster(1, 2))
    down(world, cluster(1, 2))
    assert nas == before
    assert sorted(world.vms) == [7050]


def test_a_half_made_clone_is_ours_until_it_has_run() -> None:
    world = built(cluster(1, 1))
    half = strangers_vm(world, "demo-workers-2", 7050, replayed, state=RecordState.CLONING, tags="")
    half.our_clone = True
    assert [m.spec.name for m in Down().plan(cluster(1, 2), world.ports).machines if m.place.vmid == 7050]
    half.boots = 1
    assert not [m.spec.name for m in Down().plan(cluster(1, 2), world.ports).machines if m.place.vmid == 7050]


@forged
def test_down_removes_no_forged_vm(forge: Forge) -> None:
    world = built(cluster(1, 1))
    forgery = strangers_vm(world, "demo-workers-2", 7050, forge)
    plan = Down().plan(cluster(1, 1), world.ports)
    assert [note for note in plan.notes if "demo-workers-2 (vmid 7050 on pve1)" in note]
    down(world, cluster(1, 1))
    assert world.vms == {Vmid(7050): forgery}
    assert forgery.running


def test_another_computer_with_another_key_removes_nothing_of_a_cluster_of_the_same_name() -> None:
    """`down --yes` there removed all four machines."""
    world = built(cluster(1, 3))
    before = deepcopy(world.vms)
    here, world.keys, world.state = world.keys, FakeKeys("elsewhere"), {}
    plan = Down().plan(cluster(1, 3), world.ports)
    assert (plan.machines, plan.lanes) == ((), ())
    with pytest.raises(PreflightError, match="4 VMs claim to be machines of demo"):
        Up().plan(cluster(1, 3), world.ports)
    assert world.vms == before
    world.keys = here
    assert len(Down().plan(cluster(1, 3), world.ports).machines) == 4


def test_a_computer_that_has_no_key_at_all_removes_nothing_either() -> None:
    world = built(cluster(1, 1))
    world.keys.lacks.add(DEMO)
    assert Down().plan(cluster(1, 1), world.ports).machines == ()


def test_a_lost_ssh_key_is_told_with_the_ways_back_and_no_new_one_is_made() -> None:
    """A new one was made in silence, and every machine refused it."""
    world = built(cluster(1, 1))
    before = deepcopy(world.vms)
    world.keys.lacks.add(DEMO)
    with pytest.raises(PreflightError, match="but the SSH key of demo is not on this computer") as caught:
        Up().plan(cluster(1, 1), world.ports)
    assert "/nonexistent" in caught.value.details
    assert "no new one is created" in caught.value.details
    assert "copy /nonexistent" in caught.value.resolution
    assert "`homelab-k8s adopt demo`" in caught.value.resolution
    assert (world.vms, world.keys.lacks) == (before, {DEMO})
    (told, *_) = Adopt().plan(cluster(1, 1), world.ports).notes
    assert told.endswith("a new SSH key is created")
    assert world.keys.lacks == {DEMO}


def test_no_verb_makes_a_new_ssh_key_beside_machines_that_know_another_one() -> None:
    """`down` made one for its lock, and `template build` one for the build: `up` then said nothing of a lost key."""
    world, spec = built(cluster(1, 1)), cluster(1, 1)
    before = set(world.vms)
    world.keys.lacks.add(DEMO)
    Down().run(Down().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert (set(world.vms), world.keys.lacks) == (before, {DEMO})
    with pytest.raises(PreflightError, match="but the SSH key of demo is not on this computer"):
        BuildTemplate(BuildOptions()).plan(spec, world.ports)
    PruneTemplates().run(
        PruneTemplates().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions()
    )
    assert world.keys.lacks == {DEMO}


def test_an_ssh_key_that_cannot_be_used_is_told_before_anything_is_cloned() -> None:
    world = World(key_problem=PreflightError("cannot use the SSH key /home/me/.ssh/id"))
    with pytest.raises(PreflightError, match="cannot use the SSH key"):
        Up().plan(cluster(1, 1), world.ports)
    assert not world.vms


def test_a_vm_outside_of_the_resource_pool_is_none_of_ours() -> None:
    world = built(cluster(1, 1))
    world.pools[DEMO] = "k8s"
    world.vms[Vmid(7000)].resource_pool = "k8s"
    plan = Down().plan(cluster(1, 1), world.ports)
    assert [machine.place.vmid for machine in plan.machines] == [7000]
    told = "demo-workers-1 (vmid 7001 on pve1) is ignored: it is not in the cluster's resource pool"
    assert told in plan.notes
    assert Adopt().plan(cluster(1, 1), world.ports).machines == ()


def test_a_cluster_of_an_earlier_release_is_named_and_neither_doubled_nor_removed_nor_forgotten() -> None:
    spec = cluster(1, 1)
    world = of_an_earlier_release(spec)
    state = dict(world.state)
    line = (
        "2 VMs claim to be machines of demo and are foreign, not signed with its key: demo-cp-1 (vmid 7000 on pve1), "
        "demo-workers-1 (vmid 7001 on pve1); if they are yours, `homelab-k8s adopt demo` takes them over"
    )
    status = cluster_status(spec, world.ports)
    assert line in status.problems
    assert not [problem for problem in status.problems if "`homelab-k8s up` builds it" in problem]
    with pytest.raises(PreflightError, match="2 VMs claim to be machines of demo"):
        Up().plan(spec, world.ports)
    plan = Down().plan(spec, world.ports)
    assert (plan.machines, plan.lanes, plan.notes) == ((), (), (line,))
    assert world.state == state
    (summary,) = all_clusters(world.ports)
    assert (summary.machines, summary.foreign) == (0, 2)


def test_adopted_it_is_ours_as_it_is() -> None:
    spec = cluster(1, 1)
    world = of_an_earlier_release(spec)
    world.vms[Vmid(7001)].description += "\nmy notes"
    plan = Adopt().plan(spec, world.ports)
    assert [(machine.spec.name, machine.place.vmid, machine.action) for machine in plan.machines] == [
        ("demo-cp-1", 7000, "adopt"),
        ("demo-workers-1", 7001, "adopt"),
    ]
    assert plan.machines[0].reason == ("a VM, made, up 0 min, not in a resource pool: its record has no signature")
    adopt(world, spec)
    assert world.vms[Vmid(7001)].description.endswith("\nmy notes")
    assert Up().plan(spec, world.ports).empty
    assert cluster_status(spec, world.ports).healthy
    assert Adopt().plan(spec, world.ports).empty
    down(world, spec)
    assert world.vms == {}


def test_only_what_was_named_is_adopted() -> None:
    spec = cluster(1, 2)
    world = of_an_earlier_release(spec)
    plan = Adopt(vmids=[Vmid(7001)]).plan(spec, world.ports)
    Adopt().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert [machine.place.vmid for machine in Down().plan(spec, world.ports).machines] == [7001]
    with pytest.raises(PreflightError, match="vmid 7001, 7999 cannot be adopted") as caught:
        Adopt(vmids=[Vmid(7001), Vmid(7999)]).plan(spec, world.ports)
    assert caught.value.details.splitlines() == ["7001: already signed", "7999: has no record that could be signed"]


def test_what_has_changed_since_it_was_shown_is_not_adopted() -> None:
    """A claim may be another one by the time that the cluster's name is typed."""
    spec = cluster(1, 1)
    world = of_an_earlier_release(spec)
    plan = Adopt().plan(spec, world.ports)
    worker, server = world.vms[Vmid(7001)], world.vms[Vmid(7000)]
    record = read_record(worker.description)
    assert record is not None
    worker.description = by_hand(replace(record, role=Role.CONTROL_PLANE), worker.smbios_uuid)
    server.smbios_uuid = "another VM's"
    strangers_vm(world, "demo-workers-2", 7002, by_hand)
    with pytest.raises(HomelabError, match="changed since it was shown"):
        Adopt().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert Down().plan(spec, world.ports).machines == ()

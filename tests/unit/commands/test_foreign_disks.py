"""Disks that Proxmox CSI has attached: no drift, and no VM is removed with one unless the user says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import DeadlineError, HypervisorError, PreflightError
from bootstrap.events import Event, Warned
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.planning.provision.decommission import DrainRules
from bootstrap.proxmox.foreign_disks import ForeignDisk, foreign_disks
from tests.fakes.seen import vm as seen_vm
from tests.fakes.specs import cluster, workers
from tests.fakes.world import FakeVm, World

SPEC = cluster(agents=2)
WORKER = MachineName("demo-workers-2")
VOLUME = "local-lvm:vm-9999-pvc-1f2e"
DRIVE = f"{VOLUME},size=1G,wwn=0x5056432d49443031"


def run(verb: Verb, world: World) -> list[Event]:
    events: list[Event] = []
    verb.run(verb.plan(SPEC, world.ports), SPEC, world.ports, sink=events.append, options=RunOptions())
    return events


def held(world: World) -> FakeVm:
    vm = world.vm_named(WORKER)
    assert vm is not None
    return vm


@pytest.fixture
def world() -> World:
    """A cluster of which a worker holds a volume."""
    world = World()
    run(Up(), world)
    held(world).settings["scsi1"] = DRIVE
    world.journal.clear()
    return world


def to_one(rules: DrainRules = DrainRules(timeout_s=30.0)) -> Scale:  # noqa: B008 - a frozen value
    return Scale(counts={PoolName("workers"): 1}, rules=rules)


def test_a_volume_is_no_drift(world: World) -> None:
    assert Up().plan(SPEC, world.ports).empty
    assert cluster_status(SPEC, world.ports).problems == ()


@pytest.mark.parametrize("verb", [Down(), Rebuild()], ids=["down", "rebuild"])
def test_all_machines_are_not_removed_while_one_holds_a_volume(verb: Verb, world: World) -> None:
    with pytest.raises(PreflightError) as refused:
        verb.plan(SPEC, world.ports)
    assert refused.value.details == f"{WORKER} (vmid {held(world).vmid} on pve1), scsi1: {VOLUME}"
    assert "--detach-disks" in refused.value.resolution
    assert "nothing was changed" in refused.value.brief
    assert world.journal == []


def test_down_detaches_it_where_the_user_says_so(world: World) -> None:
    plan = Down(detach_disks=True).plan(SPEC, world.ports)
    assert any(f"scsi1: {VOLUME} is detached and stays on its storage" in note for note in plan.notes)
    events = run(Down(detach_disks=True), world)
    assert world.vms == {}
    assert any(isinstance(event, Warned) and VOLUME in event.message for event in events)
    of_worker = [call for call in world.journal if call.endswith(WORKER)]
    assert of_worker == [f"stop {WORKER}", f"configure {WORKER}", f"destroy {WORKER}"]


def test_a_volume_that_comes_at_the_last_moment_stops_the_removal(world: World) -> None:
    del held(world).settings["scsi1"]

    def attach(call: str) -> None:
        if call == f"stop {WORKER}":
            held(world).settings["scsi1"] = DRIVE

    world.on_call = attach
    with pytest.raises(HypervisorError, match="still holds 1 disk of Kubernetes volumes"):
        run(Down(), world)
    assert [vm.name for vm in world.vms.values()] == [WORKER]


def test_a_drained_machine_is_removed_once_kubernetes_has_detached_it(world: World) -> None:
    looks: list[str] = []

    class Settings(dict[str, str | int]):
        """Loses the disk after a few looks."""

        def __iter__(self) -> Iterator[str]:
            node = world.kube_nodes.get(WORKER)
            if node is None or node.unschedulable:
                looks.append("look")
                if len(looks) > 5:
                    self.pop("scsi1", None)
            return super().__iter__()

    held(world).settings = Settings(held(world).settings)
    run(to_one(), world)
    assert len(looks) > 5
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-workers-1"]


def test_one_that_stays_attached_stops_the_removal_and_the_machine_serves_on(world: World) -> None:
    with pytest.raises(DeadlineError, match=VOLUME):
        run(to_one(), world)
    assert held(world).running
    assert not world.kube_nodes[WORKER].unschedulable


def test_one_that_stays_attached_is_detached_where_the_user_says_so(world: World) -> None:
    run(to_one(DrainRules(timeout_s=30.0, detach_disks=True)), world)
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-workers-1"]


@given(
    st.integers(100, 9999), st.sampled_from(["local:{0}/vm-{0}-pvc-a.raw", "zfs:vm-{0}-pvc-a", "ceph:vm-{0}-disk-3"])
)
def test_a_volume_belongs_to_the_vmid_in_its_name(owner: int, form: str) -> None:
    own = seen_vm(workers(), 1)
    vm = replace(own, drives=(*own.drives, ("scsi7", f"{form.format(owner)},size=1G")))
    expected = () if owner == own.vmid else (ForeignDisk(key="scsi7", volume=form.format(owner)),)
    assert foreign_disks(vm) == expected


def test_linked_clones_and_the_hosts_own_disks_are_not_foreign() -> None:
    own = seen_vm(workers(), 1)
    drives = (
        ("scsi0", f"local:9000/base-9000-disk-0.qcow2/{own.vmid}/vm-{own.vmid}-disk-0.qcow2,size=20G"),
        ("scsi1", f"zfs:base-9000-disk-0/vm-{own.vmid}-disk-1"),
        ("scsi2", "/dev/disk/by-id/ata-vm-9-x"),
        ("scsi3", "nas:data"),
    )
    assert foreign_disks(replace(own, drives=drives)) == ()

"""A machine that was renamed or untagged in Proxmox VE is still ours: its record decides, and `up` puts both back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.clusters import all_clusters
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.model.cluster import ClusterSpec, VmidRange
from bootstrap.model.ids import ClusterName, MachineName, Vmid
from tests.fakes.specs import cluster
from tests.fakes.world import FakeVm, World

SPEC = cluster(servers=1, agents=2)
WORKER = MachineName("demo-workers-1")


def up(world: World, spec: ClusterSpec = SPEC) -> None:
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def down(world: World, spec: ClusterSpec = SPEC) -> None:
    Down().run(Down().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def built(spec: ClusterSpec = SPEC) -> World:
    world = World()
    up(world, spec)
    world.journal.clear()
    return world


def worker(world: World) -> FakeVm:
    vm = world.vm_named(WORKER)
    assert vm is not None
    return vm


@pytest.mark.parametrize(
    ("name", "tags", "says"),
    [
        ("nas", "demo;homelab-k8s", "is named nas"),
        (WORKER, "homelab-k8s;mine", "lacks the tag demo"),
        (WORKER, "mine", "lacks the tags demo and homelab-k8s"),
        ("nas", "", "is named nas and lacks the tags demo and homelab-k8s"),
    ],
)
def test_it_is_named_with_what_fixes_it_and_up_puts_it_back(name: str, tags: str, says: str) -> None:
    """It was foreign: `up` cloned a second one of it, and `down` left it running."""
    world = built()
    vm = worker(world)
    vm.shown, vm.tags = name, tags
    status = cluster_status(SPEC, world.ports)
    assert status.problems == (
        f"{WORKER} (vmid {vm.vmid} on {vm.pve_node}) {says} in Proxmox: `homelab-k8s up` restores that",
    )
    plan = Up().plan(SPEC, world.ports)
    shown = [(machine.spec.name, machine.action, machine.reason) for machine in plan.machines]
    assert (WORKER, "repair", f"{says} in Proxmox") in shown
    up(world)
    assert vm.record().name == WORKER
    assert set(vm.tags.split(";")) - {""} == {"demo", "homelab-k8s"} | ({"mine"} if "mine" in tags else set())
    assert [call for call in world.journal if "lock" not in call] == [f"configure {WORKER}"]
    assert cluster_status(SPEC, world.ports).healthy
    assert Up().plan(SPEC, world.ports).empty


def test_down_removes_it() -> None:
    world = built()
    worker(world).shown, worker(world).tags = "nas", ""
    down(world)
    assert world.vms == {}


def test_two_machines_that_swap_their_names_stay_who_they_are() -> None:
    world = built()
    one, two = worker(world), world.vms[Vmid(7002)]
    one.shown, two.shown = two.name, one.name
    plan = Up().plan(SPEC, world.ports)
    assert {(m.spec.name, m.place.vmid) for m in plan.machines if m.action == "repair"} == {
        ("demo-workers-1", 7001),
        ("demo-workers-2", 7002),
    }
    up(world)
    assert (one.record().name, two.record().name) == ("demo-workers-1", "demo-workers-2")


def test_records_that_swap_their_vms_prove_nothing() -> None:
    """Anyone who writes our record into another VM, under whatever name, has another vmid and another identity."""
    world = built()
    one, two = worker(world), world.vms[Vmid(7002)]
    one.description, two.description = two.description, one.description
    one.shown, two.shown = two.name, one.name
    assert [machine.place.vmid for machine in Down().plan(SPEC, world.ports).machines] == [7000]
    two.vmid, two.smbios_uuid = Vmid(7001), "another"
    world.vms = {Vmid(7000): world.vms[Vmid(7000)], Vmid(7001): two}
    assert [machine.place.vmid for machine in Down().plan(SPEC, world.ports).machines] == [7000]


def test_a_record_that_names_another_machine_is_not_signed() -> None:
    world = built()
    vm = worker(world)
    vm.description = vm.description.replace(WORKER, "demo-workers-9")
    assert vm.vmid not in [machine.place.vmid for machine in Down().plan(SPEC, world.ports).machines]


def other_cluster() -> tuple[ClusterSpec, World]:
    spec = cluster(servers=1, agents=1)
    vmids = VmidRange(first=Vmid(8000), last=Vmid(8999))
    spec = replace(spec, name=ClusterName("demo-2"), placement=replace(spec.placement, vmids=vmids))
    return spec, built(spec)


@pytest.mark.parametrize("knows", [True, False], ids=["with its key", "without its key"])
def test_demo_and_demo_2_next_to_each_other(knows: bool) -> None:
    """`status` of demo told of each machine of demo-2, and ended with 1."""
    world = built()
    _, other = other_cluster()
    theirs = dict(other.vms)
    world.vms.update(theirs)
    if not knows:
        world.keys.lacks.add(ClusterName("demo-2"))
    assert cluster_status(SPEC, world.ports).problems == ()
    plan = Up().plan(SPEC, world.ports)
    assert (plan.empty, plan.notes) == (True, ())
    found = {summary.name: summary for summary in all_clusters(world.ports)}
    assert found[ClusterName("demo")].vmids == (7000, 7002)
    assert found[ClusterName("demo-2")].vmids == ((8000, 8001) if knows else None)
    assert found[ClusterName("demo-2")].foreign == (0 if knows else 2)
    down(world)
    assert world.vms == theirs

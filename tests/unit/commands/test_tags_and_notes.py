"""Tags and notes of the inventory's on VMs: set, kept in step while machines run, beside what users gave them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import OsTemplate
from bootstrap.planning.plan import Action
from bootstrap.planning.verbs.replace import ReplaceOptions
from bootstrap.records.vms.notes import notes_in
from tests.fakes.specs import cluster, workers
from tests.fakes.world import PVE1, FakeVm, World, pve_node

SERVER, WORKER = "demo-cp-1", "demo-workers-1"
BASE = cluster(1, 2)
SPEC = replace(
    BASE,
    tags=("production",),
    notes="Ask Alex.",
    workers=(replace(BASE.workers[0], tags=("rack-2",), notes="# Workers\n\nMay restart."),),
)


def carry_out(world: World, verb: Up | Scale | Replace | Down, spec: ClusterSpec) -> None:
    verb.run(verb.plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def built(spec: ClusterSpec = SPEC) -> World:
    world = World()
    carry_out(world, Up(), spec)
    world.journal.clear()
    return world


def vm(world: World, name: str) -> FakeVm:
    found = world.vm_named(MachineName(name))
    assert found is not None
    return found


def marks(world: World, name: str) -> tuple[str, str]:
    return vm(world, name).tags, notes_in(vm(world, name).description)


def test_new_machines_have_them_and_there_is_nothing_more_to_do() -> None:
    world = built()
    assert marks(world, SERVER) == ("demo;homelab-k8s;production", "Ask Alex.")
    assert marks(world, WORKER) == ("demo;homelab-k8s;production;rack-2", "# Workers\n\nMay restart.")
    assert Up().plan(SPEC, world.ports).empty
    assert not cluster_status(SPEC, world.ports).problems


def test_what_changed_in_the_inventory_is_shown_and_written_while_machines_run() -> None:
    world = built(replace(BASE, tags=("old",)))
    started = {name: vm(world, name).boots for name in (SERVER, WORKER)}
    vm(world, WORKER).tags += ";mine"
    vm(world, WORKER).description = f"Bought in May.\n{vm(world, WORKER).description}\nSpare part: none"
    plan = Up().plan(SPEC, world.ports)
    shown = {machine.spec.name: (machine.action, machine.reason) for machine in plan.machines}
    says = "lacks the tag production and still has the tag old and has other notes than the inventory"
    assert shown[MachineName(SERVER)] == (Action.REPAIR, f"{says} in Proxmox")
    assert any(f"{says} in Proxmox: `homelab-k8s up`" in line for line in cluster_status(SPEC, world.ports).problems)

    carry_out(world, Up(), SPEC)
    assert marks(world, SERVER) == ("demo;homelab-k8s;production", "Ask Alex.")
    assert marks(world, WORKER) == ("demo;homelab-k8s;mine;production;rack-2", "# Workers\n\nMay restart.")
    described = vm(world, WORKER).description
    assert described.startswith("Bought in May.\n")
    assert "\nSpare part: none\n" in described
    assert {call.split()[0] for call in world.journal} == {"configure"}
    assert {name: vm(world, name).boots for name in started} == started
    assert Up().plan(SPEC, world.ports).empty, "the records are still signed"


def test_taken_from_the_inventory_they_go_and_what_users_gave_stays() -> None:
    world = built()
    vm(world, SERVER).tags += ";mine"
    vm(world, SERVER).description += "\nmine"
    carry_out(world, Up(), BASE)
    assert marks(world, SERVER) == ("demo;homelab-k8s;mine", "")
    assert vm(world, SERVER).description.endswith("}\nmine")
    assert Up().plan(BASE, world.ports).empty


def test_a_tag_that_a_user_gave_first_belongs_to_the_inventory_once_it_is_there() -> None:
    world = built(BASE)
    for each in world.vms.values():
        each.tags += ";production;rack-2"
    carry_out(world, Up(), SPEC)
    carry_out(world, Up(), BASE)
    assert marks(world, WORKER) == ("demo;homelab-k8s", "")


def test_without_a_file_they_stay_as_they_are() -> None:
    """Flags and environment know of none."""
    world = built()
    flags = replace(BASE, states_settings=False)
    assert Up().plan(flags, world.ports).empty
    vm(world, SERVER).tags = "demo;homelab-k8s"
    carry_out(world, Up(), flags)
    assert marks(world, SERVER) == ("demo;homelab-k8s;production", "Ask Alex.")


@pytest.mark.parametrize("tags", ["DEMO;Homelab-K8s;Production", "demo;homelab-k8s;production"])
def test_case_does_not_count(tags: str) -> None:
    """With `tag-style: case-sensitive=1` Proxmox VE keeps it."""
    world = built()
    vm(world, SERVER).tags = tags
    assert Up().plan(SPEC, world.ports).empty
    carry_out(world, Up(), replace(BASE, workers=SPEC.workers))
    assert "production" not in vm(world, SERVER).tags.lower()


def test_machines_that_are_added_replaced_and_removed_keep_to_it() -> None:
    world = built()
    carry_out(world, Scale(counts={PoolName("workers"): 3}), SPEC)
    assert marks(world, "demo-workers-3") == marks(world, WORKER)
    carry_out(world, Replace(ReplaceOptions(pool=PoolName("workers"), machines=(MachineName(WORKER),))), SPEC)
    assert marks(world, "demo-workers-4") == marks(world, "demo-workers-3")
    carry_out(world, Down(), SPEC)
    assert not world.vms


@pytest.mark.parametrize("pool", [None, "k8s"])
def test_containers_have_them_too(pool: str | None) -> None:
    """In a resource pool a container's tags are set once it is there."""
    light = replace(workers(1, name="light"), kind=MachineKind.LXC, tags=("small",), notes="A container.")
    spec = replace(BASE, workers=(light,), placement=replace(BASE.placement, resource_pool=pool))
    world = World()
    storages = tuple(replace(one, content=one.content | {"rootdir"}) for one in pve_node().storages)
    world.pve_nodes = [replace(pve_node(), storages=storages)]
    world.ostemplates = (OsTemplate(pve_node=PVE1, volume="local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"),)
    world.resource_pools |= {pool} if pool else set()
    carry_out(world, Up(), spec)
    assert marks(world, "demo-light-1") == ("demo;homelab-k8s;small", "A container.")
    assert Up().plan(spec, world.ports).empty
    other = replace(spec, workers=(replace(light, tags=(), notes=""),))
    carry_out(world, Up(), other)
    assert marks(world, "demo-light-1") == ("demo;homelab-k8s", "")

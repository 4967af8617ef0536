"""A neighbour's VM that says it is our template is no source of machines, and nothing that is ours to remove."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.observe import observe_proxmox
from bootstrap.commands.verbs.adopt import Adopt
from bootstrap.commands.verbs.template import BuildTemplate, PruneTemplates, list_templates
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.model.cluster import ClusterSpec, TemplateRef
from bootstrap.model.ids import Vmid
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.steps import CloneVm
from bootstrap.planning.templates.build import builds_of
from bootstrap.planning.templates.templates import usable_templates
from bootstrap.records.vms.template import TEMPLATE_TAG, BuildState, TemplateRecord
from tests.fakes.keys import FakeKeys, sealed_template, unsealed
from tests.fakes.specs import cluster
from tests.fakes.world import PVE1, TEMPLATE, FakeVm, World
from tests.unit.commands.test_template import SPEC, WISH, build, isos, prune, world_of

NEIGHBOUR = FakeKeys("a neighbour's")
IMAGE = replace(cluster(1, 0), template=TemplateRef(image="debian-13"))


def forge(world: World, vmid: int, *, like: Vmid | None = None, state: BuildState = BuildState.SEALED) -> FakeVm:
    """A neighbour's VM with our record: a copy of a template of ours, or something made up."""
    vm = FakeVm(Vmid(vmid), "hk8s-debian-13-0123abcd", PVE1, tags=f"{TEMPLATE_TAG};hk8s-0123abcd")
    vm.settings["ide2"] = "local:cloudinit"
    record = TemplateRecord(
        recipe="0123abcd", image="debian-13", k3s="v1.33.3+k3s1", state=state, vmid=vm.vmid, key="k", made=2**31
    )
    vm.description = sealed_template(record, vm.name, vm.smbios_uuid, keys=NEIGHBOUR)
    if like is not None:
        vm.description = world.vms[like].description.replace(f'"vmid":{like}', f'"vmid":{vmid}')
    world.vms[vm.vmid] = vm
    if state is BuildState.SEALED:
        world.converted.add(vm.vmid)
    return vm


def up(world: World, spec: ClusterSpec) -> None:
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def test_machines_are_not_made_of_a_disk_that_says_it_is_our_template() -> None:
    world = world_of()
    world.templates = []
    forge(world, 8999)
    plan = Up().plan(IMAGE, world.ports)
    assert [built.pve_node for built in builds_of(plan)] == [PVE1]
    up(world, IMAGE)
    made = next(one for one in list_templates(world.ports) if not one.doubt)
    assert made.vmid != 8999
    spec = replace(IMAGE, template=TemplateRef(tag=TEMPLATE_TAG, image="debian-13"))
    chosen = usable_templates(observe_proxmox(spec, world.ports))[PVE1]
    assert chosen.vmid == made.vmid, "the neighbour's has a higher vmid and the same tag"


def test_neither_build_nor_prune_removes_a_strangers_vm_in_our_range() -> None:
    """A running one was, whose record said it was a build that had died."""
    world = world_of()
    build(world)
    (ours,) = list_templates(world.ports)
    running = forge(world, 7950, state=BuildState.CLEANING)
    running.running = True
    copied = forge(world, 7951, like=ours.vmid)
    before = deepcopy((running, copied))
    plan = PruneTemplates().plan(SPEC, world.ports)
    assert plan.empty
    assert [note for note in plan.notes if "vmid 7950" in note and "`homelab-k8s adopt demo`" in note]
    prune(world)
    build(world, replace(WISH, again=True))
    assert (running, copied) == before
    assert {7950, 7951} <= set(world.vms)


def test_one_that_is_forged_between_plan_and_removal_stays() -> None:
    world = world_of()
    for _ in range(2):
        build(world, replace(WISH, again=True))
    old = min(list_templates(world.ports), key=lambda one: one.vmid)
    plan = PruneTemplates().plan(SPEC, world.ports)
    assert not plan.empty

    vm = world.vms[old.vmid]
    world.on_look = lambda: setattr(vm, "smbios_uuid", "another VM's")
    PruneTemplates().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert old.vmid in world.vms


def test_several_templates_of_a_name_or_tag_are_named_and_none_is_taken() -> None:
    """A neighbour's of a higher vmid won, silently."""
    world = World(templates=[TEMPLATE, replace(TEMPLATE, vmid=Vmid(9999))])
    for ref in (TemplateRef(name=TEMPLATE.name), TemplateRef(tag=TEMPLATE_TAG)):
        with pytest.raises(PreflightError, match="only one can be used") as e:
            Up().plan(replace(cluster(1, 0), template=ref), world.ports)
        assert e.value.details.splitlines() == ["debian-12 (vmid 9000 on pve1)", "debian-12 (vmid 9999 on pve1)"]
    named = replace(cluster(1, 0), template=TemplateRef(vmid=Vmid(9000)))
    assert {step.template for step in steps_of(Up().plan(named, world.ports), CloneVm)} == {9000}


def test_an_image_that_lies_there_by_its_name_is_checked_by_proxmox_and_the_iso_is_written_anew() -> None:
    world = world_of()
    build(world)
    (image,) = [volume for volume in world.volumes if ":import/" in volume[1]]
    world.tampered.add(image)
    (next_iso,) = {f"local:iso/hk8s-{build_.recipe.hash}-{build_.vmid}.iso" for build_ in builds_of(_again(world))}
    world.volumes.add((PVE1, next_iso))
    world.tampered.add((PVE1, next_iso))
    world.journal.clear()
    build(world, replace(WISH, again=True))
    assert world.journal[:3] == [
        "check debian-13 on pve1",
        "download debian-13 on pve1",
        f"upload {next_iso.rpartition('/')[2]}",
    ]
    assert world.tampered == set()
    assert isos(world) == []


def _again(world: World) -> Plan:
    return BuildTemplate(replace(WISH, again=True)).plan(SPEC, world.ports)


def test_an_image_that_nobody_told_a_checksum_of_is_not_taken_from_a_storage_by_its_name() -> None:
    world = world_of()
    plan = _again(world)
    (one,) = builds_of(plan)
    bare = replace(one.recipe.image, checksum="", algorithm="")
    unchecked = replace(one, recipe=replace(one.recipe, image=bare))
    world.volumes.add((PVE1, unchecked.image))
    world.no_checksums = True
    with pytest.raises(HomelabError, match="its checksum is unknown: it may contain anything"):
        build(world)


def test_templates_of_an_earlier_release_are_adopted_with_their_cluster() -> None:
    world = world_of()
    build(world)
    (ours,) = list_templates(world.ports)
    vm = world.vms[ours.vmid]
    vm.description = unsealed(vm.description)
    (foreign,) = list_templates(world.ports)
    assert foreign.doubt == "its record has no signature"
    plan = Adopt().plan(SPEC, world.ports)
    assert [note for note in plan.notes if f"{ours.name} (vmid {ours.vmid} on pve1) claims to be debian-13" in note]
    Adopt().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    (adopted,) = list_templates(world.ports)
    assert adopted.doubt == ""
    assert Adopt().plan(SPEC, world.ports).empty

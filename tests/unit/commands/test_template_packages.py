"""Packages in templates: all of the inventory's when one is built, and none is built because the list grew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.cli.verbs.setup.template import templates_text
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.template import BuildTemplate, list_templates
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.model.cluster import ClusterSpec, TemplateRef
from bootstrap.model.ids import PoolName
from bootstrap.model.machine import MachineKind
from bootstrap.model.settings.system import SystemSpec
from bootstrap.planning.day2_steps import PrepareSystem
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.templates.build import builds_of
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_template import SPEC, WISH, world_of


def with_packages(*names: str, spec: ClusterSpec = SPEC) -> ClusterSpec:
    return replace(spec, system=SystemSpec(packages=names))


def build_for(world: World, spec: ClusterSpec) -> Plan:
    plan = BuildTemplate(WISH).plan(spec, world.ports)
    if not plan.empty:
        BuildTemplate(WISH).run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    return plan


def test_it_has_the_packages_of_all_vms_and_its_record_says_so() -> None:
    world = world_of()
    pool = replace(SPEC.workers[0], system=SystemSpec(packages=("open-iscsi",)))
    light = replace(
        SPEC.workers[0], name=PoolName("light"), kind=MachineKind.LXC, system=SystemSpec(packages=("htop",))
    )
    plan = build_for(world, with_packages("nfs-common", spec=replace(SPEC, workers=(pool, light))))
    (made,) = list_templates(world.ports)
    assert made.record.packages == ("nfs-common", "open-iscsi")
    assert any(each.step.title.endswith("nfs-common, open-iscsi") for lane in plan.lanes for each in lane.steps)
    acts = [call.split()[0] for call in world.journal]
    assert acts.index("bake") < acts.index("system") < acts.index("clean")
    assert "system" not in world.vms[made.vmid].files, "which packages a machine's inventory has is not the template's"
    assert "nfs-common, open-iscsi" in templates_text((made,))


def test_it_is_built_again_for_a_longer_list_and_not_for_a_shorter_one() -> None:
    world = world_of()
    build_for(world, with_packages("nfs-common", "open-iscsi"))
    assert build_for(world, with_packages("nfs-common")).empty
    assert build_for(world, SPEC).empty
    build_for(world, with_packages("nfs-common", "open-iscsi", "zfs-dkms"))
    assert [len(one.record.packages) for one in list_templates(world.ports)] == [2, 3]


def test_up_uses_one_with_fewer_packages_and_machines_install_the_rest() -> None:
    world = world_of()
    world.templates.clear()
    image = TemplateRef(image="debian-13")
    spec = replace(with_packages("nfs-common"), template=image)
    first = Up().plan(spec, world.ports)
    assert [build.recipe.packages for build in builds_of(first)] == [("nfs-common",)]
    Up().run(first, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    more = replace(cluster(1, 3), template=image, system=SystemSpec(packages=("nfs-common", "open-iscsi")))
    plan = Up().plan(more, world.ports)
    assert builds_of(plan) == ()
    assert {step.system.packages for step in steps_of(plan, PrepareSystem)} == {("nfs-common", "open-iscsi")}


def test_a_package_that_cannot_be_installed_ends_the_build_with_the_last_lines() -> None:
    world = world_of()
    world.broken_scripts.add("prepare-system.sh")
    with pytest.raises(HomelabError) as caught:
        build_for(world, with_packages("no-such-package"))
    assert "packages of the inventory could not be installed in the template" in str(caught.value)
    assert not any(one.template for one in list_templates(world.ports))
    world.broken_scripts.clear()
    build_for(world, with_packages("nfs-common"))
    assert [one.record.packages for one in list_templates(world.ports)] == [("nfs-common",)]

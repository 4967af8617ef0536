"""`up` where the template that is asked for is missing: it is built first, where machines are to go."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, HypervisorError, PreflightError
from bootstrap.events import Event
from bootstrap.execution.report import Report
from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.cluster import BuildPolicy, ClusterSpec, K3sSpec, TemplateRef
from bootstrap.model.ids import PveNodeName
from bootstrap.model.observed import StorageFacts
from bootstrap.planning.plan import Plan
from bootstrap.planning.templates.build import builds_of
from bootstrap.records.vms.template import RECIPE_VERSION
from tests.fakes.specs import cluster
from tests.fakes.world import TEMPLATE, World, pve_node
from tests.fakes.world.facts import EVERYTHING, VERSION

IMAGE = TemplateRef(image="debian-13")
SPEC = replace(cluster(servers=1, agents=2), template=IMAGE)


def world_of(*names: str, storage: StorageFacts = EVERYTHING, memory_gib: int = 32) -> World:
    world = World(templates=[])
    world.pve_nodes = [
        replace(pve_node(name, memory_gib=memory_gib), storages=(storage,)) for name in names or ("pve1",)
    ]
    return world


def run(world: World, plan: Plan, spec: ClusterSpec, *, sink: Callable[[Event], None] = lambda _: None) -> Report:
    return Up().run(plan, spec, world.ports, sink=sink, options=RunOptions())


def up(world: World, spec: ClusterSpec = SPEC) -> Plan:
    plan = Up().plan(spec, world.ports)
    if not plan.empty:
        run(world, plan, spec)
    return plan


def built_on(plan: Plan) -> list[str]:
    return sorted(build.pve_node for build in builds_of(plan))


def test_with_no_template_at_all_it_is_built_and_the_cluster_after_it() -> None:
    world = world_of()
    plan = Up().plan(SPEC, world.ports)
    assert built_on(plan) == ["pve1"]
    assert [machine.action for machine in plan.machines] == ["create"] * 3
    assert [machine.spec.name for machine in plan.follows[0].machines] == [m.spec.name for m in plan.machines]
    report = run(world, plan, SPEC)
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-workers-1", "demo-workers-2"]
    assert {"bake", "clone"} <= {phase for phase, _ in report.phases}
    assert not any(call.startswith("upload k3s") for call in world.journal[world.journal.index("clone demo-cp-1") :])
    assert Up().plan(SPEC, world.ports).empty


def test_machines_spread_as_if_the_templates_were_there_and_each_node_that_gets_one_is_given_it() -> None:
    world = world_of("pve1", "pve2", "pve3")
    plan = up(world, replace(cluster(servers=1, agents=3), template=IMAGE))
    assert built_on(plan) == ["pve1", "pve2", "pve3"]
    places = [vm.pve_node for vm in world.vms.values() if vm.vmid not in world.converted]
    assert {places.count(name) for name in set(places)} == {1, 2}
    assert set(places) == {"pve1", "pve2", "pve3"}


def test_no_template_is_built_where_no_machine_goes() -> None:
    world = world_of("pve1", "pve2", "pve3")
    assert len(built_on(Up().plan(replace(cluster(servers=1, agents=0), template=IMAGE), world.ports))) == 1


def test_one_on_shared_storage_is_enough_for_all() -> None:
    world = world_of("pve1", "pve2", "pve3", storage=replace(EVERYTHING, shared=True))
    assert built_on(up(world)) == ["pve1"]
    machines = [vm.pve_node for vm in world.vms.values() if vm.vmid not in world.converted]
    assert set(machines) == {"pve1", "pve2", "pve3"}
    assert Up().plan(SPEC, world.ports).empty


def test_a_node_that_has_the_template_comes_first_until_another_has_much_more_room() -> None:
    world = world_of("pve1", "pve2")
    up(world, replace(cluster(servers=1, agents=0), template=replace(IMAGE)))
    (home,) = {vm.pve_node for vm in world.vms.values()}
    few = Up().plan(replace(cluster(servers=1, agents=3), template=IMAGE), world.ports)
    assert builds_of(few) == ()
    assert {machine.place.pve_node for machine in few.machines} == {home}
    many = Up().plan(replace(cluster(servers=1, agents=9), template=IMAGE), world.ports)
    assert built_on(many) == sorted({"pve1", "pve2"} - {home})


def test_servers_are_spread_even_if_that_takes_templates() -> None:
    world = world_of("pve1", "pve2", "pve3")
    up(world, replace(cluster(servers=1, agents=0), template=IMAGE))
    world.kube_nodes.clear()
    world.vms = {vmid: vm for vmid, vm in world.vms.items() if vmid in world.converted}
    assert len(built_on(Up().plan(replace(cluster(servers=3, agents=0), template=IMAGE), world.ports))) == 2


def test_the_k3s_that_machines_get_counts() -> None:
    world = world_of()
    old = replace(SPEC, k3s=K3sSpec(version="v1.32.1+k3s1"))
    up(world, replace(old, control_plane=replace(old.control_plane, count=1), workers=()))
    world.kube_nodes.clear()
    world.vms = {vmid: vm for vmid, vm in world.vms.items() if vmid in world.converted}
    plan = Up().plan(SPEC, world.ports)
    assert [build.recipe.k3s for build in builds_of(plan)] == [VERSION]
    never = replace(SPEC, template=replace(IMAGE, build=BuildPolicy.NEVER))
    assert builds_of(Up().plan(never, world.ports)) == ()
    run(world, plan, SPEC)
    (newest,) = [template for template in world.made_templates() if template.k3s == VERSION]
    assert newest.vmid == max(world.converted)


def test_a_template_that_an_older_recipe_made_is_made_anew() -> None:
    world = world_of()
    up(world, replace(SPEC, workers=()))
    world.kube_nodes.clear()
    world.vms = {vmid: vm for vmid, vm in world.vms.items() if vmid in world.converted}
    assert builds_of(Up().plan(SPEC, world.ports)) == ()
    for vm in world.vms.values():
        older = vm.description.replace(f'"version":{RECIPE_VERSION}', '"version":0')
        vm.description = re.sub('"recipe":"[0-9a-f]{8}"', '"recipe":"00000000"', older)
    assert len(built_on(Up().plan(SPEC, world.ports))) == 1


def test_with_never_it_says_what_makes_one() -> None:
    with pytest.raises(PreflightError, match="no template found for image debian-13") as caught:
        Up().plan(replace(SPEC, template=replace(IMAGE, build=BuildPolicy.NEVER)), world_of().ports)
    assert "template build" in caught.value.resolution


@pytest.mark.parametrize("ref", [TemplateRef(name="mine"), TemplateRef(tag="mine")])
def test_what_others_make_is_not_built(ref: TemplateRef) -> None:
    with pytest.raises(PreflightError, match="no template found for"):
        Up().plan(replace(SPEC, template=ref), world_of().ports)


def test_an_inventory_that_names_none_takes_what_has_our_tag_and_adds_nothing_to_it() -> None:
    anything = TemplateRef(tag="homelab-k8s-template", image="debian-13")
    world = world_of("pve1", "pve2", "pve3")
    assert builds_of(Up().plan(replace(SPEC, template=anything), world.ports))
    world.templates = [TEMPLATE]
    assert builds_of(Up().plan(replace(SPEC, template=anything), world.ports)) == ()


def test_rights_that_building_needs_are_asked_for_before_anything_is_touched() -> None:
    world = world_of()
    lack = MissingPrivileges(path="/storage/local", privileges=("Datastore.AllocateTemplate",), remedy="pveum ...")
    world.missing_to_build = (lack,)
    with pytest.raises(PreflightError, match="building a template needs") as caught:
        Up().plan(SPEC, world.ports)
    assert "/storage/local: Datastore.AllocateTemplate" in caught.value.details
    assert world.journal == []


def test_a_storage_that_cannot_hold_it_leaves_its_node_out() -> None:
    world = world_of("pve1", "pve2")
    bare = replace(EVERYTHING, content=frozenset({"iso"}))
    world.pve_nodes[0] = replace(world.pve_nodes[0], storages=(bare,))
    assert built_on(up(world)) == ["pve2"]


def acts() -> list[str]:
    world = world_of("pve1", "pve2")
    up(world)
    return world.journal


@pytest.mark.parametrize("number", range(0, len(acts()), 2))
def test_one_that_dies_after_any_act_ends_in_the_same_when_it_is_run_again(number: int) -> None:
    world = world_of("pve1", "pve2")

    def die(_call: str) -> None:
        if len(world.journal) >= number + 1:
            raise HypervisorError("died")

    world.on_call = die
    with pytest.raises(HomelabError):
        up(world)
    world.on_call = lambda _call: None
    up(world)
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-workers-1", "demo-workers-2"]
    machines = [vm.name for vmid, vm in world.vms.items() if vmid not in world.converted]
    assert sorted(machines) == sorted(world.kube_nodes)
    assert len(world.converted) <= len({PveNodeName("pve1"), PveNodeName("pve2")})
    assert Up().plan(SPEC, world.ports).empty

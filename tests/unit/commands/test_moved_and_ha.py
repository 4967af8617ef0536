"""VMs that move between plan and act, VMs of Proxmox HA's, Proxmox nodes in maintenance; over an in-memory world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HypervisorError, PreflightError, VmOutOfSightError
from bootstrap.events import Event, StepFinished
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.observed import TemplateFacts
from bootstrap.planning.verbs.rebalance import plan_rebalance
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import TEMPLATE, World, pve_node

PVE2 = PveNodeName("pve2")
WORKER = "demo-workers-1"


def two_nodes() -> World:
    world = World()
    world.pve_nodes.append(pve_node("pve2"))
    world.templates.append(replace(TEMPLATE, pve_node=PVE2, vmid=Vmid(9001)))
    return world


def built(spec: ClusterSpec) -> World:
    """A cluster on pve1, beside a second Proxmox node."""
    world = World()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.pve_nodes.append(pve_node("pve2"))
    world.templates.append(replace(TEMPLATE, pve_node=PVE2, vmid=Vmid(9001)))
    world.journal.clear()
    return world


def down(world: World, spec: ClusterSpec, *, between: Callable[[], None] = lambda: None) -> list[Event]:
    events: list[Event] = []
    plan = Down().plan(spec, world.ports)
    between()
    Down().run(plan, spec, world.ports, sink=events.append, options=RunOptions())
    return events


def test_down_removes_a_vm_that_moved_since_the_plan() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    down(world, spec, between=lambda: world.move(WORKER, PVE2))
    assert world.vms == {}
    assert f"destroy {WORKER}" in world.journal
    assert not [key for key in world.state if key[0] == DEMO]


def test_down_keeps_the_state_while_a_vm_may_be_where_nobody_can_be_asked() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    state = dict(world.state)

    def lost() -> None:
        world.move(WORKER, PVE2)
        world.unreachable.add(PVE2)

    with pytest.raises(VmOutOfSightError, match="was on pve1, and pve2 cannot be reached: it may have moved there"):
        down(world, spec, between=lost)
    assert world.vm_named(WORKER) is not None
    assert world.state.items() >= state.items()
    world.unreachable.clear()
    down(world, spec)
    assert world.vms == {}


def test_up_goes_on_with_a_vm_that_moved_since_the_plan() -> None:
    spec = cluster(agents=1)
    world = two_nodes()
    moved: list[str] = []

    def move_once(call: str) -> None:
        if call == f"configure {WORKER}" and not moved:
            moved.append(call)
            world.move(WORKER, PVE2 if world.vm_named(WORKER).pve_node != PVE2 else PveNodeName("pve1"))  # type: ignore[union-attr]

    world.on_call = move_once
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert moved
    assert sorted(vm.name for vm in world.vms.values()) == ["demo-cp-1", WORKER]
    assert cluster_status(spec, world.ports).problems == ()


def test_up_takes_over_a_half_made_vm_that_moved() -> None:
    """Another one beside it would be one too many."""
    spec = cluster(agents=1)
    world = two_nodes()
    first = Up().plan(spec, world.ports)
    world.on_call = lambda call: _interrupt(call, f"configure {WORKER}")
    with pytest.raises(HypervisorError):
        Up().run(first, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.on_call = lambda _call: None
    half_made = world.vm_named(WORKER)
    assert half_made is not None
    again = Up().plan(spec, world.ports)
    world.move(WORKER, PVE2 if half_made.pve_node != PVE2 else PveNodeName("pve1"))
    Up().run(again, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert sorted(vm.name for vm in world.vms.values()) == ["demo-cp-1", WORKER]


def _interrupt(call: str, at: str) -> None:
    if call == at:
        raise HypervisorError("cannot configure it")


def test_a_half_made_vm_out_of_sight_is_not_made_a_second_time() -> None:
    spec = cluster(agents=1)
    world = two_nodes()
    world.on_call = lambda call: _interrupt(call, f"configure {WORKER}")
    with pytest.raises(HypervisorError):
        Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.on_call = lambda _call: None
    again = Up().plan(spec, world.ports)
    vm = world.vm_named(WORKER)
    assert vm is not None
    world.unreachable.add(vm.pve_node)
    with pytest.raises(VmOutOfSightError, match="it may have moved there"):
        Up().run(again, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert [vm.name for vm in world.vms.values()].count(WORKER) == 1


def test_down_says_what_is_proxmox_has_and_removes_it_from_there() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    worker = world.vm_named(WORKER)
    assert worker is not None
    worker.ha_managed = True
    reasons = {machine.spec.name: machine.reason for machine in Down().plan(spec, world.ports).machines}
    assert reasons == {"demo-cp-1": "running", WORKER: "running; managed by Proxmox HA; removed from HA"}
    events = down(world, spec)
    assert world.vms == {}
    notes = [event.note for event in events if isinstance(event, StepFinished) and event.lane == WORKER]
    assert notes[-1].endswith(", removed from Proxmox HA")


def test_one_that_is_off_is_stopped_all_the_same_where_ha_may_start_it() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    worker = world.vm_named(WORKER)
    assert worker is not None
    worker.ha_managed, worker.running = True, False
    down(world, spec)
    assert f"stop {WORKER}" in world.journal


def test_one_that_ha_starts_again_keeps_the_state() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    worker = world.vm_named(WORKER)
    assert worker is not None
    worker.ha_managed = True
    world.ha_starts_again.add(WORKER)
    with pytest.raises(HypervisorError, match="Proxmox HA was set to start it again"):
        down(world, spec)
    assert world.vm_named(WORKER) is not None
    assert [key for key in world.state if key[0] == DEMO]


def test_a_node_in_ha_maintenance_gets_nothing_and_status_names_it() -> None:
    spec = cluster(servers=1, agents=3)
    world = two_nodes()
    world.pve_nodes[1] = replace(world.pve_nodes[1], maintenance=True)
    plan = Up().plan(spec, world.ports)
    assert {machine.place.pve_node for machine in plan.machines} == {"pve1"}
    assert "pve2 is in maintenance (Proxmox HA): no new machine is placed there" in plan.notes
    assert cluster_status(spec, world.ports).maintenance == (("pve2", "Proxmox HA"),)


def test_machines_move_off_a_node_in_ha_maintenance() -> None:
    spec = cluster(agents=1)
    world = built(spec)
    world.pve_nodes[0] = replace(world.pve_nodes[0], maintenance=True)
    found = plan_rebalance(observe_cluster(spec, world.ports))
    assert {(move.machine, move.target, move.why) for move in found.moves} == {
        (MachineName("demo-cp-1"), PVE2, "pve1 is in maintenance"),
        (MachineName(WORKER), PVE2, "pve1 is in maintenance"),
    }
    assert "pve1 is in maintenance: nothing is moved there" in found.notes


def test_nothing_is_made_while_all_are_in_maintenance() -> None:
    world = World()
    world.pve_nodes[0] = replace(world.pve_nodes[0], maintenance=True)
    with pytest.raises(
        PreflightError, match="none of the allowed Proxmox nodes is both online and out of maintenance"
    ) as no:
        Up().plan(cluster(), world.ports)
    assert no.value.details == "pve1 is in maintenance"


def test_a_template_of_a_node_in_maintenance_still_serves_others() -> None:
    """Storage that both have is still there."""
    world = World()
    shared = replace(world.pve_nodes[0].storages[0], name=StorageName("nfs"), shared=True)
    world.pve_nodes = [replace(pve_node(name), storages=(shared,)) for name in ("pve1", "pve2")]
    world.pve_nodes[0] = replace(world.pve_nodes[0], maintenance=True)
    world.templates = [_on(TEMPLATE, shared.name)]
    plan = Up().plan(cluster(), world.ports)
    assert {machine.place.pve_node for machine in plan.machines} == {PVE2}


def _on(template: TemplateFacts, storage: StorageName) -> TemplateFacts:
    return replace(template, storage=storage, storages=frozenset({storage}))

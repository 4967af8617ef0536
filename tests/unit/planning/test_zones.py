"""Zone and region of Kubernetes nodes: set once, through the API, and right again after a machine has moved."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import yaml

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.up import Up
from bootstrap.k3s.config import render_config
from bootstrap.k3s.topology_labels import REGION, ZONE
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PveNodeName, Vmid
from bootstrap.planning.members.desired_machines import machine_states
from bootstrap.planning.plan import Plan
from bootstrap.planning.view import ClusterView
from tests.fakes.seen import seen, vm
from tests.fakes.specs import cluster, control_plane, workers
from tests.fakes.world import TEMPLATE, World, pve_node

LABELLED = replace(cluster(agents=3), labels_from_proxmox=True)
AGENT = MachineName("demo-workers-1")


def two_pve_nodes() -> World:
    templates = [replace(TEMPLATE, pve_node=PveNodeName(f"pve{n}"), vmid=Vmid(9000 + n)) for n in (1, 2)]
    return World(pve_nodes=[pve_node("pve1"), pve_node("pve2")], templates=templates)


def up(world: World, spec: ClusterSpec) -> Plan:
    plan = Up().plan(spec, world.ports)
    Up().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    return plan


def labels(world: World, name: str) -> dict[str, str]:
    return dict(world.kube_nodes[MachineName(name)].labels)


def test_every_node_has_its_proxmox_node_as_zone_and_a_second_up_has_nothing_to_do() -> None:
    world = two_pve_nodes()
    up(world, LABELLED)
    for each in world.vms.values():
        assert labels(world, each.name)[ZONE] == each.pve_node
        assert labels(world, each.name)[REGION] == "demo"
    assert {each.pve_node for each in world.vms.values()} == {"pve1", "pve2"}
    assert Up().plan(LABELLED, world.ports).empty


def test_a_cluster_made_without_them_gets_them_once_and_nothing_is_restarted() -> None:
    world = two_pve_nodes()
    up(world, cluster(agents=3))
    assert ZONE not in labels(world, AGENT)
    world.journal.clear()
    up(world, LABELLED)
    assert labels(world, AGENT)[ZONE] in {"pve1", "pve2"}
    assert not [call for call in world.journal if call.startswith(("install", "start", "restart"))]
    assert Up().plan(LABELLED, world.ports).empty


def test_the_labels_of_a_pool_come_first() -> None:
    pool = replace(workers(1), labels=((ZONE, "rack-2"),))
    world = World()
    up(world, replace(LABELLED, workers=(pool,)))
    assert labels(world, AGENT) == {ZONE: "rack-2", REGION: "demo"}


def test_a_machine_that_was_migrated_lacks_its_label_until_the_next_up() -> None:
    spec = replace(LABELLED, control_plane=control_plane(), workers=())
    observed = seen(vm(spec.control_plane, 1, on="pve2"), pve_nodes=2)
    assert observed.kube_nodes is not None
    moved = replace(observed.kube_nodes[0], labels=((REGION, "demo"), (ZONE, "pve1")))
    right = replace(moved, labels=((REGION, "demo"), (ZONE, "pve2")))
    for node, reason in ((moved, "labels or taints differ"), (right, "")):
        (machine_state,) = machine_states(ClusterView(spec, replace(observed, kube_nodes=(node,))))
        assert machine_state.reason == reason


def test_the_kubelet_is_not_told_of_them() -> None:
    world = two_pve_nodes()
    plan = Up().plan(LABELLED, world.ports)
    machine = next(each.spec for each in plan.machines if each.spec.name == AGENT)
    assert dict(machine.labels)[ZONE]
    text = render_config(LABELLED, machine, address=IPv4Address("192.0.2.9"), etcd=False, join=None)
    assert "node-label" not in yaml.safe_load(text)

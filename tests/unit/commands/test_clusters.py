"""Which clusters are found, and what of each."""

from __future__ import annotations

from dataclasses import replace

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.clusters import ClusterSummary, all_clusters
from bootstrap.commands.verbs.up import Up
from bootstrap.model.cluster import ClusterSpec, VmidRange
from bootstrap.model.ids import ClusterName, Vmid
from bootstrap.records.vms.lock import LockRecord
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import PVE1, FakeVm, World
from tests.fakes.world.markers import marker_vm

OTHER = ClusterName("demo-two")


def built(world: World, spec: ClusterSpec) -> None:
    ports = world.ports
    Up().run(Up().plan(spec, ports), spec, ports, sink=lambda _event: None, options=RunOptions())


def other_spec() -> ClusterSpec:
    vmids = VmidRange(first=Vmid(8100), last=Vmid(8150))
    spec = cluster(agents=0)
    return replace(spec, name=OTHER, placement=replace(spec.placement, vmids=vmids))


def test_without_any_there_are_none() -> None:
    assert all_clusters(World().ports) == ()


def test_each_cluster_has_its_own_machines() -> None:
    world = World()
    built(world, cluster(agents=2))
    built(world, other_spec())
    stopped = world.vm_named("demo-workers-2")
    assert stopped is not None
    stopped.running = False
    assert all_clusters(world.ports) == (
        ClusterSummary(
            name=DEMO,
            control_plane=1,
            workers=2,
            running=2,
            vmids=(Vmid(7000), Vmid(7002)),
            pve_nodes=(PVE1,),
            known=True,
            kubeconfig=True,
        ),
        ClusterSummary(
            name=OTHER,
            control_plane=1,
            running=1,
            vmids=(Vmid(8100), Vmid(8100)),
            pve_nodes=(PVE1,),
            known=True,
            kubeconfig=True,
        ),
    )


def test_one_of_another_computer_has_no_kubeconfig_here() -> None:
    world = World()
    built(world, cluster(agents=0))
    world.state.clear()
    (found,) = all_clusters(world.ports)
    assert (found.name, found.known, found.kubeconfig) == (DEMO, False, False)


def test_one_whose_machines_are_gone_is_known_by_what_is_left_here() -> None:
    world = World()
    world.state[DEMO, "token"] = "x"
    (found,) = all_clusters(world.ports)
    assert found == ClusterSummary(name=DEMO, known=True)


def test_a_copy_of_a_machine_is_nobodys() -> None:
    world = World()
    built(world, cluster(agents=0))
    world.vms[Vmid(500)] = replace(world.vms[Vmid(7000)], vmid=Vmid(500), name="Copy-of-demo-cp-1")
    (found,) = all_clusters(world.ports)
    assert (found.machines, found.vmids, found.out_of_sight) == (1, (Vmid(7000), Vmid(7000)), 0)


def test_on_an_offline_proxmox_node_tags_and_names_are_counted_by() -> None:
    world = World()
    world.vms[Vmid(8000)] = FakeVm(Vmid(8000), "demo-two-cp-1", PVE1, tags="demo-two;homelab-k8s;demo-tw")
    (found,) = all_clusters(world.ports)
    assert (found.name, found.machines, found.out_of_sight, found.running) == (OTHER, 0, 1, 0)


def test_a_marker_says_that_somebody_is_at_work_and_is_no_machine() -> None:
    world = World()
    record = LockRecord(cluster=DEMO, who="me@here", pid=1, process="", run="r", command="up", since="now")
    world.vms[Vmid(7999)] = marker_vm(record)
    (found,) = all_clusters(world.ports)
    assert found == ClusterSummary(name=DEMO, at_work=True)

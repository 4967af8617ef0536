"""`up` where something old is in the way: an old Proxmox VE, the API's own address, an old node, old data."""

from __future__ import annotations

import itertools
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec, VipSpec
from bootstrap.model.ids import MachineName, Vmid
from bootstrap.model.observed import PveVersion
from bootstrap.planning.steps import JoinServer
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World

WORKER = MachineName("demo-workers-1")
VIP = IPv4Address("192.0.2.5")


def up(world: World, spec: ClusterSpec) -> None:
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def test_proxmox_ve_7_is_refused_before_anything_is_touched() -> None:
    world = World(version=PveVersion(major=7, minor=4, text="7.4-17"))
    with pytest.raises(PreflightError, match=r"Proxmox VE 7\.4-17 is too old") as refused:
        Up().plan(cluster(), world.ports)
    assert "Proxmox VE 8" in refused.value.resolution
    assert world.journal == []


def test_the_apis_own_address_is_never_taken_for_a_machines() -> None:
    """The server that holds it has it on eth0, the guest agent may name it first, and soon another server has it."""
    spec = replace(cluster(servers=3, agents=1), vip=VipSpec(address=VIP))
    world = World(vip=VIP)
    up(world, spec)
    server = next(vm for vm in world.vms.values() if vm.holds_vip)
    observed = observe_cluster(spec, world.ports).observed
    assert observed.vip_holder == server.name
    assert dict(observed.addresses)[MachineName(server.name)] == server.address
    server.files["config.yaml"] = server.unit = ""
    up(world, spec)
    assert f"node-ip: {server.address}" in server.files["config.yaml"]


@pytest.mark.parametrize("machine", ["demo-cp-1", "demo-workers-1"])
def test_a_machines_own_address_is_refused_as_vip(machine: str) -> None:
    world, spec = World(), cluster(agents=1)
    up(world, spec)
    vm = world.vm_named(machine)
    assert vm is not None
    world.journal.clear()
    with pytest.raises(PreflightError, match=f"the VIP {vm.address} is a machine's own address"):
        Up().plan(replace(spec, vip=VipSpec(address=vm.address)), world.ports)
    assert world.journal == []


def test_the_node_of_a_lost_machine_goes_before_its_fresh_clone_joins() -> None:
    """Kubernetes keeps the node password of the old machine, and would reject the new one's (k3s#802)."""
    world, spec = World(), cluster(agents=2)
    up(world, spec)
    lost = world.vm_named(WORKER)
    assert lost is not None
    del world.vms[lost.vmid]
    up(world, spec)
    fresh = world.vm_named(WORKER)
    assert fresh is not None
    assert fresh.unit == "k3s-agent"
    assert world.node_passwords[WORKER] == fresh.smbios_uuid != lost.smbios_uuid


def test_a_server_that_holds_data_is_started_with_the_token_of_that_data() -> None:
    """The state directory is lost and k3s is down: another token could not read what is in the datastore."""
    world, spec = World(), cluster(agents=1)
    up(world, spec)
    server = world.vms[Vmid(7000)]
    token = server.files["token"]
    server.unit = ""
    world.state = {key: text for key, text in world.state.items() if key[1] != "token"}
    up(world, spec)
    assert server.files["service.env"].split("'")[1].rpartition(":")[2] == token
    assert world.state[(DEMO, "token")].rpartition(":")[2] == token


@pytest.mark.parametrize("servers", [3, 5, 7])
@pytest.mark.parametrize("there", [0, 1, 2])
def test_servers_join_one_at_a_time(servers: int, there: int) -> None:
    """etcd takes one learner at a time: `too many learner members in cluster`."""
    world = World()
    spec = cluster(servers=servers, agents=0)
    if there:
        up(world, spec)
        for vm in [vm for vm in world.vms.values() if int(vm.name.rpartition("-")[2]) > there]:
            del world.vms[vm.vmid]
            del world.kube_nodes[MachineName(vm.name)]
    plan = Up().plan(spec, world.ports)
    joins = [step for lane in plan.lanes for step in lane.steps if isinstance(step.step, JoinServer)]
    assert len(joins) == servers - max(there, 1)
    for before, after in itertools.pairwise(joins):
        assert before.opens[0] in after.needs

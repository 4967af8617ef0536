"""MAC addresses that follow from names, and machines that keep those they have."""

from __future__ import annotations

import re
from dataclasses import replace

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.up import Up
from bootstrap.model.cluster import ClusterSpec, KeptMachine, MacPolicy, NetworkSpec
from bootstrap.model.ids import ClusterName, MachineName, PoolName
from bootstrap.proxmox.macs import stable_mac
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World

STABLE = replace(cluster(agents=1), network=NetworkSpec(macs=MacPolicy.STABLE))
CP_1 = MachineName("demo-cp-1")


def up(world: World, spec: ClusterSpec) -> None:
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def test_an_address_is_local_unicast_and_one_for_each_machine_cluster_and_device() -> None:
    names = [MachineName(f"demo-workers-{number}") for number in range(1, 1001)]
    macs = {stable_mac(DEMO, name) for name in names}
    assert len(macs) == len(names)
    assert all(re.fullmatch(r"02(:[0-9A-F]{2}){5}", mac) for mac in macs)
    assert stable_mac(ClusterName("other"), CP_1) != stable_mac(DEMO, CP_1) != stable_mac(DEMO, CP_1, nic=1)


def test_addresses_never_change_from_one_release_to_the_next() -> None:
    """DHCP servers hold reservations for them."""
    assert stable_mac(DEMO, CP_1) == "02:10:A0:45:AF:B0"


def test_the_plan_tells_them_and_the_machines_get_them() -> None:
    world = World()
    plan = Up().plan(STABLE, world.ports)
    told = {machine.spec.name: machine.spec.mac for machine in plan.machines}
    assert told[CP_1] == stable_mac(DEMO, CP_1)
    up(world, STABLE)
    assert {MachineName(vm.name): vm.mac for vm in world.vms.values()} == told


def test_machines_that_are_there_keep_theirs() -> None:
    world = World()
    up(world, cluster(agents=1))
    before = {vm.name: vm.mac for vm in world.vms.values()}
    plan = Up().plan(STABLE, world.ports)
    assert plan.empty
    assert {machine.spec.name: machine.spec.mac for machine in plan.machines} == before


def test_a_machine_that_is_rebuilt_has_the_one_it_had() -> None:
    kept = KeptMachine(name=CP_1, pool=PoolName("control-plane"), mac="BC:24:11:AA:BB:CC")
    plan = Up().plan(replace(STABLE, kept=(kept,)), World().ports)
    assert next(machine.spec.mac for machine in plan.machines if machine.spec.name == CP_1) == "BC:24:11:AA:BB:CC"

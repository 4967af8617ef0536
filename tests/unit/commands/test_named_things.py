"""What an inventory names and Proxmox does not have is told before anything is touched: resource pools, CPU types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PoolName
from bootstrap.planning.verbs.replace import ReplaceOptions
from bootstrap.ports import Ports
from tests.fakes.specs import cluster
from tests.fakes.world import World, pve_node

WORKERS = PoolName("workers")


def in_pool(spec: ClusterSpec, name: str) -> ClusterSpec:
    return replace(spec, placement=replace(spec.placement, resource_pool=name))


def with_cpu(spec: ClusterSpec, cpu_type: str) -> ClusterSpec:
    return replace(spec, control_plane=replace(spec.control_plane, cpu_type=cpu_type))


def test_a_resource_pool_that_is_missing_is_told_before_a_token_without_rights_on_it() -> None:
    """Proxmox VE refuses the first clone: "Permission check failed (pool 'homelabs' does not exist)" (9.2.11)."""
    world = World()
    with pytest.raises(PreflightError, match="there is no resource pool homelabs in Proxmox") as refused:
        Up().plan(in_pool(cluster(), "homelabs"), world.ports)
    assert "pveum pool add homelabs" in refused.value.resolution.splitlines()
    assert world.journal == []
    Up().plan(in_pool(cluster(), "kpool"), world.ports)


def test_a_cpu_type_that_a_proxmox_node_does_not_know_is_told_with_those_that_are_near() -> None:
    world = World()
    with pytest.raises(PreflightError, match="the CPU type of the pool control-plane is unknown to Proxmox") as refused:
        Up().plan(with_cpu(cluster(), "x86-64-v2-aes"), world.ports)
    assert refused.value.details == "pve1 knows no CPU type x86-64-v2-aes; near: x86-64-v2-AES, x86-64-v2, x86-64-v4"
    assert "pvesh get /nodes/pve1/capabilities/qemu/cpu" in refused.value.resolution
    assert world.journal == []
    Up().plan(with_cpu(cluster(), "x86-64-v2-AES"), world.ports)


@pytest.mark.parametrize(
    "act",
    [
        lambda spec, ports: Scale(counts={WORKERS: 2}).plan(spec, ports),
        lambda spec, ports: Replace(ReplaceOptions(pool=WORKERS)).plan(spec, ports),
    ],
    ids=["scale", "replace"],
)
@pytest.mark.parametrize("lacks", ["pool", "cpu"])
def test_other_commands_that_make_machines_tell_it_too(act: Callable[[ClusterSpec, Ports], object], lacks: str) -> None:
    world, spec = World(), cluster(agents=1)
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    done = list(world.journal)
    workers = replace(spec.workers[0], cpu_type="EPYC-Florence")
    wrong = in_pool(spec, "homelabs") if lacks == "pool" else replace(spec, workers=(workers,))
    with pytest.raises(PreflightError, match=r"resource pool homelabs|CPU type of the pool workers"):
        act(wrong, world.ports)
    assert world.journal == done


@pytest.mark.parametrize("machine", ["aarch64", "riscv64"])
def test_of_other_architectures_the_list_is_no_measure(machine: str) -> None:
    world = World(pve_nodes=[replace(pve_node(), architecture=machine)])
    Up().plan(with_cpu(cluster(), "cortex-a57"), world.ports)


def test_proxmox_nodes_are_asked_only_where_a_type_is_named() -> None:
    assert not any(facts.cpu_types for facts in observe_cluster(cluster(), World().ports).observed.pve_nodes)
    assert all(
        facts.cpu_types for facts in observe_cluster(with_cpu(cluster(), "host"), World().ports).observed.pve_nodes
    )

"""A VIP that comes to a cluster that runs, or becomes another one: in which order, and what keepalived is told."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
import yaml

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.up import Up
from bootstrap.k3s.keepalived import render_keepalived
from bootstrap.model.cluster import ClusterSpec, VipSpec
from bootstrap.planning.day2_steps import ApplySettings, ConfigureVip, RemoveVip
from bootstrap.planning.plan import steps_of
from bootstrap.planning.steps import WriteKubeconfig
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_settings import THREE, built, restarts, up
from tests.unit.planning.test_scale_and_replace import order


def test_certificates_come_first_then_keepalived_then_agents_and_the_kubeconfig() -> None:
    """The kubeconfig named the VIP while nobody served it, and one server served it without a certificate for it."""
    world, vip = built(), IPv4Address("192.0.2.5")
    world.vip = vip
    steps = order(Up().plan(replace(THREE, vip=VipSpec(address=vip)), world.ports))
    applied = {step.machine.name: at for at, step in enumerate(steps) if isinstance(step, ApplySettings)}
    (served,) = [at for at, step in enumerate(steps) if isinstance(step, ConfigureVip)]
    (written,) = [at for at, step in enumerate(steps) if isinstance(step, WriteKubeconfig)]
    assert max(at for name, at in applied.items() if "-cp-" in name) < served < written
    assert served < min(at for name, at in applied.items() if "-workers-" in name)


def test_a_vip_that_is_changed_moves_with_all_that_names_it() -> None:
    old, new = IPv4Address("192.0.2.5"), IPv4Address("192.0.2.6")
    world = World(vip=old)
    up(world, replace(THREE, vip=VipSpec(address=old)))
    world.vip = new
    for vm in world.vms.values():
        vm.holds_vip = False  # nobody has the new one yet
    spec = replace(THREE, vip=VipSpec(address=new))
    assert any(str(new) in problem for problem in cluster_status(spec, world.ports).problems)
    plan = Up().plan(spec, world.ports)
    assert [step.machine for step in steps_of(plan, ConfigureVip)] == ["demo-cp-1"]
    Up().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    for vm in world.vms.values():
        config = yaml.safe_load(vm.files["config.yaml"])
        assert str(old) not in str(config)
        assert str(new) in config["tls-san"] if "-cp-" in vm.name else config["server"] == f"https://{new}:6443"
    assert str(new) in world.kubeconfigs[next(iter(world.kubeconfigs))]
    assert Up().plan(spec, world.ports).empty


@pytest.mark.parametrize("servers", [1, 3])
def test_a_router_id_that_is_changed_reaches_every_keepalived_and_restarts_no_k3s(servers: int) -> None:
    vip = IPv4Address("192.0.2.5")
    world, spec = World(vip=vip), replace(cluster(servers, 1), vip=VipSpec(address=vip))
    up(world, spec)
    world.journal.clear()
    other = replace(spec, vip=VipSpec(address=vip, router_id=42))
    (problem,) = cluster_status(other, world.ports).problems
    assert "router id" in problem
    up(world, other)
    told = [vm.files["keepalived.conf"] for vm in world.vms.values() if "-cp-" in vm.name]
    assert [text.count("virtual_router_id 42\n") for text in told] == [1] * servers
    assert restarts(world) == []
    assert cluster_status(other, world.ports).healthy
    assert Up().plan(other, world.ports).empty


def without_vip(servers: int = 3) -> tuple[World, ClusterSpec]:
    """A cluster that was built with a VIP, and its inventory that has none any more."""
    vip = IPv4Address("192.0.2.5")
    spec = cluster(servers, 2)
    world = World(vip=vip)
    up(world, replace(spec, vip=VipSpec(address=vip)))
    world.journal.clear()
    return world, spec


@pytest.mark.parametrize("servers", [1, 3])
def test_a_vip_that_is_taken_out_leaves_no_keepalived_behind(servers: int) -> None:
    """keepalived went on serving it, and nothing but a note said so."""
    world, spec = without_vip(servers)
    told = cluster_status(spec, world.ports).problems
    assert any("serves a VIP that is no longer in the inventory" in each for each in told)
    plan = Up().plan(spec, world.ports)
    (removal,) = steps_of(plan, RemoveVip)
    assert removal.servers == tuple(f"demo-cp-{number + 1}" for number in range(servers))
    Up().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    for vm in world.vms.values():
        assert "keepalived.conf" not in vm.files
        assert "192.0.2.5" not in vm.files["config.yaml"]
    (kubeconfig,) = world.kubeconfigs.values()
    assert "192.0.2.5" not in kubeconfig
    assert cluster_status(spec, world.ports).healthy
    assert Up().plan(spec, world.ports).empty


def test_kubeconfig_and_agents_have_moved_before_keepalived_goes() -> None:
    world, spec = without_vip()
    steps = order(Up().plan(spec, world.ports))
    (removed,) = [at for at, step in enumerate(steps) if isinstance(step, RemoveVip)]
    assert removed > max(at for at, step in enumerate(steps) if isinstance(step, ApplySettings | WriteKubeconfig))
    up(world, spec)
    removals = [at for at, call in enumerate(world.journal) if call.startswith("remove-vip")]
    moves = [at for at, call in enumerate(world.journal) if call.startswith(("settings", "kubeconfig", "restart"))]
    assert max(moves) < min(removals)


@pytest.mark.parametrize("done", ["servers", "agents too"])
def test_a_removal_that_was_cut_off_is_continued(done: str) -> None:
    """Once the servers have forgotten the address, a server's network device and keepalived's settings tell of it."""
    world, spec = without_vip()
    up(world, spec)
    for vm in world.vms.values():
        if "-cp-" in vm.name:
            vm.files["keepalived.conf"] = render_keepalived(
                VipSpec(address=IPv4Address("192.0.2.5")),
                cluster=spec.name,
                interface="eth0",
                address=vm.address,
                place=0,
                peers=(),
            )
            vm.holds_vip = vm.name == "demo-cp-2"
        elif done == "servers":
            vm.files["config.yaml"] = vm.files["config.yaml"].replace("192.0.2.11", "192.0.2.5")
    if done == "servers":
        for name in [name for name in world.kube_nodes if "-workers-" in name]:
            node = world.kube_nodes[name]
            args = tuple("https://192.0.2.5:6443" if each.startswith("https://") else each for each in node.args or ())
            world.kube_nodes[name] = replace(node, args=args)
    assert not cluster_status(spec, world.ports).healthy
    up(world, spec)
    assert all("keepalived.conf" not in vm.files for vm in world.vms.values())
    assert all("192.0.2.5" not in vm.files["config.yaml"] for vm in world.vms.values())
    assert Up().plan(spec, world.ports).empty


def test_a_change_that_was_cut_off_after_the_first_server_is_continued() -> None:
    """The other servers' keepalived went on serving the old VIP, and nobody told."""
    old, new = IPv4Address("192.0.2.5"), IPv4Address("192.0.2.6")
    world, spec = World(vip=old), replace(THREE, vip=VipSpec(address=new))
    up(world, replace(THREE, vip=VipSpec(address=old)))
    world.vip = new
    for vm in world.vms.values():
        vm.holds_vip = False
    up(world, spec)
    second = world.vm_named("demo-cp-2")
    assert second is not None
    second.files["keepalived.conf"] = second.files["keepalived.conf"].replace(str(new), str(old))
    second.further = (old,)
    assert any("demo-cp-2 has another VIP" in each for each in cluster_status(spec, world.ports).problems)
    up(world, spec)
    assert str(old) not in second.files["keepalived.conf"]


def test_keepalived_of_somebody_elses_making_is_left_alone() -> None:
    world, spec = World(vip=IPv4Address("192.0.2.5")), cluster(1, 1)
    up(world, spec)
    server = world.vm_named("demo-cp-1")
    assert server is not None
    server.holds_vip = True  # an address of theirs
    assert cluster_status(spec, world.ports).healthy
    assert Up().plan(spec, world.ports).empty

"""A VIP that comes to a cluster that runs, or becomes another one: in which order, and what keepalived is told."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
import yaml

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.status import cluster_status
from bootstrap.commands.up import prepare_up, run_up
from bootstrap.model.cluster import VipSpec
from bootstrap.planning.day2_steps import ApplySettings, ConfigureVip
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
    steps = order(prepare_up(replace(THREE, vip=VipSpec(address=vip)), world.ports))
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
    plan = prepare_up(spec, world.ports)
    assert [step.machine for step in steps_of(plan, ConfigureVip)] == ["demo-cp-1"]
    run_up(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    for vm in world.vms.values():
        config = yaml.safe_load(vm.files["config.yaml"])
        assert str(old) not in str(config)
        assert str(new) in config["tls-san"] if "-cp-" in vm.name else config["server"] == f"https://{new}:6443"
    assert str(new) in world.kubeconfigs[next(iter(world.kubeconfigs))]
    assert prepare_up(spec, world.ports).empty


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
    assert prepare_up(other, world.ports).empty

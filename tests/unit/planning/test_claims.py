"""Who claims one address is told from who merely had it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from bootstrap.model.cluster import VipSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import KubeNode, Observed
from bootstrap.planning.members.address_claims import claim_lines
from bootstrap.planning.view import ClusterView
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_doctor import built

SERVER, WORKER = MachineName("demo-cp-1"), MachineName("demo-workers-1")
HERE = IPv4Address("192.0.2.7")
SPEC = cluster(servers=3, agents=1)


@pytest.fixture
def seen() -> Observed:
    """A server and a worker that run, of which nothing is known but that."""
    world: World = built()
    vms = tuple(replace(vm.record(), doubt="") for vm in world.vms.values() if vm.name in (SERVER, WORKER))
    return Observed(version=world.version, pve_nodes=(), templates=(), vms=vms)


def test_a_machine_may_claim_its_address_in_every_way(seen: Observed) -> None:
    vms = tuple(replace(vm, address=HERE) if vm.name == SERVER else vm for vm in seen.vms)
    nodes = (KubeNode(name=SERVER, ready=True, address=HERE),)
    assert claim_lines(ClusterView(SPEC, replace(seen, vms=vms, addresses=((SERVER, HERE),), kube_nodes=nodes))) == ()


@pytest.mark.parametrize("ready", [True, False])
def test_a_kubelet_claims_by_its_node_while_it_is_ready(seen: Observed, ready: bool) -> None:
    nodes = (KubeNode(name=WORKER, ready=ready, address=HERE),)
    lines = claim_lines(ClusterView(SPEC, replace(seen, addresses=((SERVER, HERE),), kube_nodes=nodes)))
    assert [line.count("by its Kubernetes node") for line in lines] == ([1] if ready else [])


def test_the_settings_of_a_machine_that_is_off_count(seen: Observed) -> None:
    vms = tuple(replace(vm, storage_address=HERE, running=False) if vm.name == WORKER else vm for vm in seen.vms)
    (line,) = claim_lines(ClusterView(SPEC, replace(seen, vms=vms, addresses=((SERVER, HERE),))))
    assert "by its settings in Proxmox" in line


def test_the_api_s_own_address_wanders(seen: Observed) -> None:
    spec = replace(SPEC, vip=VipSpec(address=HERE))
    nodes = tuple(KubeNode(name=name, ready=True, address=HERE) for name in (SERVER, WORKER))
    assert claim_lines(ClusterView(spec, replace(seen, kube_nodes=nodes))) == ()
    assert len(claim_lines(ClusterView(SPEC, replace(seen, kube_nodes=nodes)))) == 1

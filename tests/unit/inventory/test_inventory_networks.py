"""Networks in the inventory: of pools, of storage, of both address families."""

from __future__ import annotations

import pytest

from bootstrap.model.machine import PoolNetwork
from tests.unit.inventory.kit import Load, Told

STATIC = "network: {addresses: 192.168.1.50-192.168.1.60, subnet: 192.168.1.0/24, vlan: 30}\n"


def test_a_pool_may_have_its_bridge_and_vlan(load: Load) -> None:
    spec = load("pools: {gpu: {network: {bridge: vmbr1, vlan: 40}}}\n").spec
    assert spec.workers[0].network == PoolNetwork(bridge="vmbr1", vlan=40)
    assert spec.control_plane.network == PoolNetwork()


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (STATIC + "workers: {network: {vlan: 40}}", "workers.network.vlan", "VLAN 40 is another network"),
        (STATIC + "pools: {gpu: {network: {vlan: 40}}}", "pools.gpu.network.vlan", "VLAN 40 is another network"),
    ],
)
def test_what_does_not_go_together(told: Told, text: str, path: str, message: str) -> None:
    (problem,) = told(text)
    assert (problem.path, message in problem.message) == (path, True), problem


def test_a_pool_may_name_the_vlan_that_all_are_in(load: Load) -> None:
    assert load(STATIC + "workers: {network: {vlan: 30}}").spec.workers[0].network.vlan == 30

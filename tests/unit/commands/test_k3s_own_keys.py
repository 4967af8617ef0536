"""k3s's own keys on a living cluster: told, rolled out, taken out again, and those that k3s does not have."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.model.cluster import ClusterSpec, K3sSpec
from bootstrap.model.ids import MachineName
from tests.fakes.world import World
from tests.unit.commands.test_settings import THREE, USERS, built, restart_by_itself, restarts, up

MAX_PODS = replace(THREE, k3s=K3sSpec(agent_config=(("kubelet-arg", ("max-pods=200",)),)))
SERVERS = ["demo-cp-2", "demo-cp-3", "demo-cp-1"]
WORKERS = ["demo-workers-1", "demo-workers-2"]


def in_pool(spec: ClusterSpec, key: str, *values: str) -> ClusterSpec:
    return replace(spec, workers=tuple(replace(pool, k3s_settings=((key, values),)) for pool in spec.workers))


CHANGES: list[tuple[ClusterSpec, str, list[str]]] = [
    (MAX_PODS, "kubelet-arg: none -> max-pods=200", [*SERVERS, *WORKERS]),
    (
        replace(THREE, k3s=K3sSpec(server_config=(("kube-apiserver-arg", ("event-ttl=2h",)),))),
        "kube-apiserver-arg: none -> event-ttl=2h",
        SERVERS,
    ),
    (in_pool(THREE, "node-external-ip", "203.0.113.7"), "node-external-ip: none -> 203.0.113.7", WORKERS),
    (
        replace(THREE, k3s=K3sSpec(disable_components=("network-policy",))),
        "k3s.disable_components (network-policy): none -> true",
        SERVERS,
    ),
]


@pytest.mark.parametrize(("spec", "change", "machines"), CHANGES, ids=[change for _, change, _ in CHANGES])
def test_a_setting_is_rolled_out_once_and_taken_out_again(spec: ClusterSpec, change: str, machines: list[str]) -> None:
    world = built()
    (told,) = cluster_status(spec, world.ports).problems
    assert change in told
    assert all(name in told for name in machines)
    up(world, spec)
    assert restarts(world) == machines
    assert cluster_status(spec, world.ports).healthy
    assert Up().plan(spec, world.ports).empty

    world.journal.clear()
    key, _, way = change.partition(": ")
    (back,) = cluster_status(THREE, world.ports).problems
    assert f"{key}: {way.removeprefix('none -> ')} -> none" in back
    up(world, THREE)
    assert restarts(world) == machines
    assert Up().plan(THREE, world.ports).empty


def test_the_order_of_arguments_counts() -> None:
    """Of an argument that is given twice the last one may win."""
    args = ("feature-gates=A=true", "feature-gates=A=false")
    world = built(in_pool(THREE, "kubelet-arg", *args))
    up(world, in_pool(THREE, "kubelet-arg", *reversed(args)))
    assert restarts(world) == WORKERS


def test_a_key_of_the_users_own_in_a_file_on_the_machine_is_never_taken_out() -> None:
    world = built()
    worker = world.vm_named("demo-workers-1")
    assert worker is not None
    worker.files[USERS] = yaml.safe_dump({"kubelet-arg": ["max-pods=50"], "debug": True})
    restart_by_itself(world, "demo-workers-1")
    assert Up().plan(THREE, world.ports).empty
    assert cluster_status(THREE, world.ports).healthy
    assert world.looked_into != []


def test_a_roll_out_that_was_cut_off_while_a_key_was_taken_out_is_continued() -> None:
    """Its file has it no more then, and k3s still runs with it."""
    world = built(MAX_PODS)
    world.broken_scripts.add("start-k3s.sh")
    with pytest.raises(HomelabError):
        up(world, THREE)
    world.broken_scripts.clear()
    assert any("demo-cp-2" in problem for problem in cluster_status(THREE, world.ports).problems)
    up(world, THREE)
    assert restarts(world) == [*SERVERS, *WORKERS]
    assert Up().plan(THREE, world.ports).empty


def test_a_key_that_a_server_does_not_know_is_told_and_restarts_nothing_again() -> None:
    """k3s skips it with a warning, and so does not report it: a roll-out must not wait for it."""
    spec = replace(THREE, k3s=K3sSpec(server_config=(("kube-apiserver-args", ("a=b",)),)))
    world = built()
    up(world, spec)
    assert restarts(world) == SERVERS
    plan = Up().plan(spec, world.ports)
    assert plan.empty
    told = [note for note in plan.notes if "does not know the setting kube-apiserver-args" in note]
    assert [note.partition(":")[0] for note in told] == sorted(SERVERS)


def test_the_address_of_the_cluster_dns_cannot_change() -> None:
    world = built()
    spec = replace(THREE, k3s=K3sSpec(server_config=(("cluster-dns", ("10.43.0.53",)),)))
    with pytest.raises(PreflightError) as refused:
        Up().plan(spec, world.ports)
    assert "cluster-dns is 10.43.0.10, and the inventory says 10.43.0.53" in refused.value.details
    assert world.journal == []


def test_a_new_machine_begins_with_the_settings() -> None:
    world = World()
    up(world, MAX_PODS)
    for vm in world.vms.values():
        assert yaml.safe_load(vm.files["config.yaml"])["kubelet-arg"] == ["max-pods=200"]
        assert "max-pods=200" in (world.kube_nodes[MachineName(vm.name)].args or ())

"""registries.yaml of a cluster: created, changed, removed by `up`, one machine after another, and shown nowhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.model.cluster import ClusterSpec, K3sSpec
from bootstrap.model.ids import PoolName
from bootstrap.model.settings.registries import RegistriesSpec
from tests.fakes.world import World
from tests.unit.commands.test_settings import THREE, built, restarts, up

ALL = ["demo-cp-2", "demo-cp-3", "demo-cp-1", "demo-workers-1", "demo-workers-2"]
FOREIGN = "mirrors: {docker.io: {endpoint: [https://mine.home]}}\n"


def with_password(password: str) -> ClusterSpec:
    content = {"configs": {"registry.home": {"auth": {"username": "puller", "password": password}}}}
    registries = RegistriesSpec(content=yaml.safe_dump(content), secrets=(password,))
    return replace(THREE, k3s=K3sSpec(registries=registries))


OLD, NEW = with_password("OLD-SECRET"), with_password("NEW-SECRET")
PEM = tuple(RegistriesSpec(content="{}", files=((f"registry-{n}.pem", f"key {n} SECRET"),)) for n in (1, 2))
CERTIFIED, RENEWED = (replace(THREE, k3s=K3sSpec(registries=each)) for each in PEM)
EMBEDDED = replace(THREE, k3s=K3sSpec(embedded_registry=True))


def files(world: World) -> dict[str, str | None]:
    return {vm.name: vm.files.get("registries.yaml") for vm in world.vms.values()}


def put(world: World, name: str, text: str) -> None:
    vm = world.vm_named(name)
    assert vm is not None
    vm.files["registries.yaml"] = text


def test_new_machines_have_it_from_the_start() -> None:
    world = built(OLD)
    assert sorted(name for name, text in files(world).items() if text and "OLD-SECRET" in text) == sorted(ALL)
    assert cluster_status(OLD, world.ports).healthy
    assert Up().plan(OLD, world.ports).empty
    verb = Scale(counts={PoolName("workers"): 3})
    verb.run(verb.plan(OLD, world.ports), OLD, world.ports, sink=lambda _event: None, options=RunOptions())
    assert "OLD-SECRET" in str(files(world)["demo-workers-3"])
    assert restarts(world) == []


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (THREE, OLD, "k3s.registries: none -> one"),
        (OLD, NEW, "k3s.registries: a different one"),
        (OLD, THREE, "k3s.registries: one -> none"),
        (THREE, CERTIFIED, "k3s.registries: none -> one"),
        (CERTIFIED, RENEWED, "k3s.registries: a different one"),
        (RENEWED, THREE, "k3s.registries: one -> none"),
        (THREE, EMBEDDED, "k3s.embedded_registry: none -> true"),
        (EMBEDDED, THREE, "k3s.embedded_registry: true -> none"),
        (OLD, replace(OLD, k3s=replace(OLD.k3s, embedded_registry=True)), "k3s.registries: a different one"),
    ],
    ids=[
        "new",
        "password",
        "removed",
        "certificate",
        "renewed",
        "without it",
        "embedded",
        "not embedded",
        "embedded too",
    ],
)
def test_a_change_is_told_planned_and_rolled_out_once_to_all_machines(
    before: ClusterSpec, after: ClusterSpec, change: str
) -> None:
    world = built(before)
    problems, plan = cluster_status(after, world.ports).problems, Up().plan(after, world.ports)
    assert any(change in problem for problem in problems), problems
    shown = {machine.spec.name: machine.reason for machine in plan.machines if machine.action == "restart"}
    assert sorted(shown) == sorted(ALL)
    assert any(change in reason for reason in shown.values())
    assert "SECRET" not in repr((problems, plan))
    assert world.journal == []
    up(world, after)
    assert restarts(world) == ALL
    assert cluster_status(after, world.ports).healthy
    assert Up().plan(after, world.ports).empty
    assert {bool(text) for text in files(world).values()} == {after.k3s != THREE.k3s}
    pem = {name for vm in world.vms.values() for name in vm.files if name.endswith(".pem")}
    assert pem == {name for name, _ in after.k3s.registries.files} if after.k3s.registries else not pem
    assert after is not NEW or not any("OLD-SECRET" in str(text) for text in files(world).values())


def test_both_halves_of_the_embedded_registry_are_written() -> None:
    world = built(EMBEDDED)
    for vm in world.vms.values():
        config = yaml.safe_load(vm.files["config.yaml"])
        assert config.get("embedded-registry") is (True if "-cp-" in vm.name else None)
        assert yaml.safe_load(vm.files["registries.yaml"]) == {"mirrors": {"*": {}}}


def test_a_file_that_was_changed_or_removed_on_a_machine_is_put_right_there_alone() -> None:
    world = built(OLD)
    put(world, "demo-workers-2", "# Written by homelab-k8s\nmirrors: {}\n")
    assert any("k3s.registries" in problem for problem in cluster_status(OLD, world.ports).problems)
    up(world, OLD)
    assert restarts(world) == ["demo-workers-2"]
    assert Up().plan(OLD, world.ports).empty


def test_a_file_that_is_not_ours_is_never_overwritten() -> None:
    world = built(THREE)
    put(world, "demo-workers-1", FOREIGN)
    assert Up().plan(THREE, world.ports).empty, "without the key it is none of our business"
    told = [problem for problem in cluster_status(OLD, world.ports).problems if "was not written by" in problem]
    assert len(told) == 1
    assert "demo-workers-1: /etc/rancher/k3s/registries.yaml" in told[0]
    with pytest.raises(PreflightError, match="nothing was changed") as refused:
        Up().plan(OLD, world.ports)
    assert "homelab-k8s ssh demo-workers-1 -- sudo mv" in refused.value.resolution
    assert (world.journal, files(world)["demo-workers-1"]) == ([], FOREIGN)


def test_the_key_that_is_removed_takes_our_file_and_no_other() -> None:
    world = built(OLD)
    put(world, "demo-workers-1", FOREIGN)
    up(world, THREE)
    assert {name: text for name, text in files(world).items() if text} == {"demo-workers-1": FOREIGN}


@pytest.mark.parametrize("script", ["put-settings.sh", "start-k3s.sh"])
@pytest.mark.parametrize("after", [NEW, THREE, EMBEDDED], ids=["password", "removed", "embedded"])
def test_a_roll_out_that_was_cut_off_is_continued(script: str, after: ClusterSpec) -> None:
    world = built(OLD)
    world.broken_scripts.add(script)
    with pytest.raises(HomelabError) as failed:
        up(world, after)
    assert "SECRET" not in repr((str(failed.value), failed.value.details, failed.value.resolution))
    world.broken_scripts.clear()
    up(world, after)
    assert restarts(world) == ALL
    assert Up().plan(after, world.ports).empty


def test_where_nothing_was_ever_set_no_machine_is_looked_into() -> None:
    world = built(THREE)
    assert cluster_status(THREE, world.ports).healthy
    assert world.looked_into == []

"""A DNS name of the user's for the API: in certificates, in the kubeconfig, and whether it leads there."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
import yaml

from bootstrap.commands.access.kubeconfig import own_kubeconfig
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.up import Up
from bootstrap.model.cluster import ClusterSpec, K3sSpec, VipSpec
from bootstrap.planning.checks.doctor import Check, Verdict
from bootstrap.planning.day2_steps import ApplySettings
from bootstrap.planning.steps import WriteKubeconfig
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World
from tests.unit.commands.test_doctor import PINNED
from tests.unit.commands.test_settings import up
from tests.unit.planning.test_scale_and_replace import order

NAME = "k8s.home.arpa"
BARE = cluster(3, 1)
NAMED = replace(BARE, api_name=NAME)
VIP = IPv4Address("192.0.2.5")


def server_in(world: World) -> str:
    (kubeconfig,) = world.kubeconfigs.values()
    server: str = yaml.safe_load(kubeconfig)["clusters"][0]["cluster"]["server"]
    return server


def sans(world: World, machine: str = "demo-cp-1") -> list[str]:
    vm = world.vm_named(machine)
    assert vm is not None
    found: list[str] = yaml.safe_load(vm.files["config.yaml"])["tls-san"]
    return found


@pytest.mark.parametrize("vip", [None, VipSpec(address=VIP)])
def test_a_new_cluster_has_the_name_in_certificates_and_kubeconfig(vip: VipSpec | None) -> None:
    world, spec = World(vip=vip.address if vip else None), replace(NAMED, vip=vip)
    up(world, spec)
    assert server_in(world) == f"https://{NAME}:6443"
    assert all(NAME in sans(world, f"demo-cp-{number}") for number in (1, 2, 3))
    worker = world.vm_named("demo-workers-1")
    assert worker is not None
    assert NAME not in worker.files["config.yaml"], "machines reach servers by addresses, whatever becomes of the DNS"
    kubeconfig = own_kubeconfig(DEMO, world.ports)
    assert kubeconfig is not None
    assert NAME in kubeconfig
    assert Up().plan(spec, world.ports).empty


@pytest.mark.parametrize("old", [BARE, replace(BARE, api_name="old.home.arpa")], ids=["none", "another"])
def test_a_name_reaches_a_cluster_that_runs_certificates_first(old: ClusterSpec) -> None:
    world = World()
    up(world, old)
    assert any(NAME in problem for problem in cluster_status(NAMED, world.ports).problems)
    steps = order(Up().plan(NAMED, world.ports))
    (written,) = [at for at, step in enumerate(steps) if isinstance(step, WriteKubeconfig)]
    assert max(at for at, step in enumerate(steps) if isinstance(step, ApplySettings)) < written
    up(world, NAMED)
    assert server_in(world) == f"https://{NAME}:6443"
    assert "old.home.arpa" not in sans(world)
    assert cluster_status(NAMED, world.ports).healthy
    assert Up().plan(NAMED, world.ports).empty


def test_a_name_that_the_certificates_have_already_still_reaches_the_kubeconfig() -> None:
    """It was in k3s.tls_san: no setting of k3s changes, and nothing restarts."""
    world, san = World(), K3sSpec(tls_san=(NAME,))
    up(world, replace(BARE, k3s=san))
    spec = replace(NAMED, k3s=san)
    assert sans(world).count(NAME) == 1
    assert any("the kubeconfig uses" in problem for problem in cluster_status(spec, world.ports).problems)
    world.journal.clear()
    up(world, spec)
    assert server_in(world) == f"https://{NAME}:6443"
    assert not [call for call in world.journal if call.startswith("restart ")]
    assert Up().plan(spec, world.ports).empty


def test_a_run_that_was_cut_off_before_the_kubeconfig_was_written_is_continued() -> None:
    world = World()
    up(world, BARE)
    before = dict(world.kubeconfigs), world.state[DEMO, "kubeconfig-server"]
    up(world, NAMED)
    world.kubeconfigs.update(before[0])
    world.state[DEMO, "kubeconfig-server"] = before[1]
    assert not cluster_status(NAMED, world.ports).healthy
    up(world, NAMED)
    assert server_in(world) == f"https://{NAME}:6443"


def test_a_name_that_is_taken_out_leaves_the_kubeconfig_too() -> None:
    world = World()
    up(world, NAMED)
    assert any(NAME in problem for problem in cluster_status(BARE, world.ports).problems)
    up(world, BARE)
    assert NAME not in server_in(world)
    assert NAME not in sans(world)
    assert Up().plan(BARE, world.ports).empty


def test_without_an_inventory_file_a_name_stays_as_it_is_told() -> None:
    world = World()
    up(world, NAMED)
    assert cluster_status(replace(BARE, states_settings=False), world.ports).healthy


def test_a_kubeconfig_that_nobody_has_merged_is_no_trouble() -> None:
    world = World()
    up(world, BARE)
    for item in ("kubeconfig-server", "kubeconfig-path"):
        del world.state[DEMO, item]
    told = cluster_status(replace(NAMED, k3s=K3sSpec()), world.ports).problems
    assert not any("the kubeconfig uses" in problem for problem in told)


@pytest.mark.parametrize(
    ("resolved", "vip", "built", "words"),
    [
        ((), None, False, f"{NAME} does not resolve here, and kubectl needs it: point it to the first server"),
        ((), VIP, False, "point it to 192.0.2.5"),
        ((VIP,), VIP, False, ""),
        ((IPv4Address("198.51.100.1"),), None, False, ""),
        ((IPv4Address("198.51.100.1"),), VIP, False, "resolves to 198.51.100.1 here, but the API is at"),
        ((IPv4Address("198.51.100.1"),), None, True, "resolves to 198.51.100.1 here, but the API is at"),
        ("own", None, True, ""),
    ],
)
def test_where_the_name_leads_is_a_warning_of_dry_run_and_doctor(
    resolved: tuple[IPv4Address, ...] | str, vip: IPv4Address | None, built: bool, words: str
) -> None:
    spec = replace(NAMED, vip=VipSpec(address=vip) if vip else None)
    world = World(vip=vip)
    if built:
        up(world, spec)
    server = world.vm_named("demo-cp-2")
    world.dns[NAME] = (server.address,) if server is not None and resolved == "own" else tuple(resolved)  # type: ignore[arg-type]
    notes = [note for note in Up().plan(spec, world.ports).notes if NAME in note and "resolve" in note]
    (found,) = [check for check in diagnose(spec, PINNED, world.ports).checks if check.name == "api-name"]
    if not words:
        assert notes == []
        assert found.verdict is Verdict.OK
        return
    (note,) = notes
    assert words in note
    assert found == Check(
        name="api-name",
        verdict=Verdict.WARNING,
        says=note,
        remedy="correct it in your DNS, or in /etc/hosts on this computer",
    )


def test_a_run_goes_on_where_the_name_leads_nowhere() -> None:
    world = World()
    Up().run(Up().plan(NAMED, world.ports), NAMED, world.ports, sink=lambda _event: None, options=RunOptions())
    assert cluster_status(NAMED, world.ports).healthy

"""A hardened cluster: from the start, switched on and off on a living one, and each point checked by doctor."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.k3s.hardening.cis import ARGUMENTS
from bootstrap.model.cluster import ClusterSpec, K3sSpec
from bootstrap.model.machine import MachineKind
from bootstrap.model.settings.hardening import Hardening
from bootstrap.planning.checks.doctor import Check, Verdict
from bootstrap.planning.checks.hardening import HARDENING_CHECKS
from tests.fakes.world import World
from tests.unit.commands.test_containers import world as with_containers
from tests.unit.commands.test_doctor import PINNED
from tests.unit.commands.test_settings import THREE, built, restarts, up

CIS = replace(THREE, hardening=Hardening.CIS)
ALL = ["demo-cp-2", "demo-cp-3", "demo-cp-1", "demo-workers-1", "demo-workers-2"]
SERVERS = sorted(name for name in ALL if "-cp-" in name)


def checks(world: World, spec: ClusterSpec = CIS) -> dict[str, Check]:
    found = {check.name: check for check in diagnose(spec, PINNED, world.ports).checks}
    return {name: check for name, check in found.items() if name.startswith("cis-")}


def with_files(world: World) -> list[str]:
    return sorted(vm.name for vm in world.vms.values() if {"psa.yaml", "audit.yaml"} <= vm.files.keys())


def change(world: World, name: str, file: str, text: str | None) -> None:
    vm = world.vm_named(name)
    assert vm is not None
    if text is None:
        del vm.files[file]
    else:
        vm.files[file] = text


def test_a_new_cluster_has_it_before_k3s_starts_and_doctor_says_so() -> None:
    world = built(CIS)
    assert with_files(world) == SERVERS
    assert restarts(world) == []
    assert cluster_status(CIS, world.ports).healthy
    assert Up().plan(CIS, world.ports).empty
    found = checks(world)
    assert list(found) == list(HARDENING_CHECKS)
    assert {check.verdict for name, check in found.items() if name != "cis-policies"} == {Verdict.OK}
    assert found["cis-policies"].verdict is Verdict.SKIPPED


def test_on_a_living_cluster_it_is_told_rolled_out_once_and_taken_back() -> None:
    world = built(THREE)
    told = cluster_status(CIS, world.ports).problems
    assert any("hardening: none -> cis" in problem for problem in told), told
    plan = Up().plan(CIS, world.ports)
    assert any("must meet the restricted Pod Security Standard" in note for note in plan.notes)
    assert not any("service-account-extend" in str(machine.reason) for machine in plan.machines)
    assert world.journal == []
    up(world, CIS)
    assert restarts(world) == ALL
    first = [line for line in world.journal if line.endswith("demo-cp-2")]
    assert first.index("system demo-cp-2") < first.index("restart demo-cp-2"), "a kubelet ends over the kernel it finds"
    assert (with_files(world), Up().plan(CIS, world.ports).empty) == (SERVERS, True)
    assert cluster_status(CIS, world.ports).healthy

    world.journal.clear()
    assert any("hardening: cis -> none" in problem for problem in cluster_status(THREE, world.ports).problems)
    up(world, THREE)
    assert restarts(world) == ALL
    assert (with_files(world), Up().plan(THREE, world.ports).empty) == ([], True)
    assert checks(world, THREE) == {}


@pytest.mark.parametrize("script", ["put-settings.sh", "start-k3s.sh", "prepare-system.sh"])
@pytest.mark.parametrize(("before", "after"), [(THREE, CIS), (CIS, THREE)], ids=["on", "off"])
def test_a_roll_out_that_was_cut_off_is_continued(script: str, before: ClusterSpec, after: ClusterSpec) -> None:
    if (script, after) == ("prepare-system.sh", THREE):
        return  # nothing is asked of the system any more
    world = built(before)
    world.broken_scripts.add(script)
    with pytest.raises(HomelabError):
        up(world, after)
    world.broken_scripts.clear()
    up(world, after)
    assert Up().plan(after, world.ports).empty
    assert with_files(world) == (SERVERS if after is CIS else [])


@pytest.mark.parametrize("text", [None, "# Written by homelab-k8s\nrules: []\n"], ids=["gone", "changed"])
def test_a_file_that_was_changed_or_removed_is_put_right_on_that_server_alone(text: str | None) -> None:
    world = built(CIS)
    change(world, "demo-cp-3", "audit.yaml", text)
    assert any(
        "hardening: other files -> cis (demo-cp-3)" in each for each in cluster_status(CIS, world.ports).problems
    )
    assert checks(world)["cis-pod-security"].verdict is Verdict.FAILED
    up(world, CIS)
    assert restarts(world) == ["demo-cp-3"]
    assert checks(world)["cis-pod-security"].verdict is Verdict.OK


def test_a_file_that_is_not_ours_is_never_overwritten_or_removed() -> None:
    world = built(THREE)
    change(world, "demo-cp-2", "psa.yaml", "kind: AdmissionConfiguration\n")
    assert Up().plan(THREE, world.ports).empty
    with pytest.raises(PreflightError, match="nothing was changed") as refused:
        Up().plan(CIS, world.ports)
    assert "demo-cp-2" in refused.value.details
    assert world.journal == []


def test_the_users_arguments_stay_and_what_takes_the_guides_place_is_told_and_no_failure() -> None:
    own = (("kube-apiserver-arg", ("event-ttl=2h", "audit-log-maxage=7")),)
    spec = replace(CIS, k3s=K3sSpec(server_config=own))
    world = built(spec)
    vm = world.vm_named("demo-cp-1")
    assert vm is not None
    found = yaml.safe_load(vm.files["config.yaml"])["kube-apiserver-arg"]
    assert found == [each for each in ARGUMENTS["kube-apiserver-arg"] if "maxage" not in each] + list(own[0][1])
    assert any("audit-log-maxage=7 of the inventory takes the place of audit-log-maxage=30" in note
               for note in Up().plan(spec, world.ports).notes)  # fmt: skip
    api = checks(world, spec)["cis-api-server"]
    assert (api.verdict, "audit-log-maxage=7" in api.says) == (Verdict.WARNING, True)


def test_doctor_finds_each_point_that_is_not_so() -> None:
    world = built(THREE)
    failing = {name for name, check in checks(world).items() if check.verdict is Verdict.FAILED}
    assert failing == {"cis-kubelet", "cis-api-server", "cis-controllers", "cis-pod-security", "cis-audit-log"}
    world = built(CIS)
    world.loose["demo-workers-1"] = ("644:0:0 /var/lib/rancher/k3s/agent/kubelet.kubeconfig",)
    change(world, "demo-workers-1", "system", "sysctl kernel.panic = 0")
    found = checks(world)
    assert "demo-workers-1: kernel.panic is 0, not 10" in found["cis-kernel"].says
    assert "demo-workers-1: /var/lib/rancher/k3s/agent/kubelet.kubeconfig is 644:0:0" in found["cis-file-modes"].says
    assert {name for name, check in found.items() if check.verdict is Verdict.FAILED} == {
        "cis-kernel",
        "cis-file-modes",
    }


def test_containers_are_told_as_left_out() -> None:
    spec = replace(CIS, workers=tuple(replace(pool, kind=MachineKind.LXC) for pool in CIS.workers))
    plan = Up().plan(spec, with_containers().ports)
    assert any("left out on containers (demo-workers-1" in note for note in plan.notes)

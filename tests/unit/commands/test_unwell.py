"""No quorum and paused VMs: said first, refused before anything is touched, resumed where that helps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.observing.observe import observe_proxmox
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import DeadlineError, HypervisorError, PreflightError
from bootstrap.model.ids import PveNodeName
from bootstrap.model.observed import LostQuorum, PveNodeFacts
from bootstrap.planning.capacity.sizing import Capacity, why_not
from bootstrap.planning.checks.doctor import Verdict, check_capacity, check_kvm, check_quorum
from bootstrap.planning.view import ClusterView
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_up_and_down import down, up

LOST = LostQuorum(total=3, away=(PveNodeName("pve2"), PveNodeName("pve3")))
SAID = r"no quorum \(1 of 3 nodes online: pve2, pve3 are off\): nothing can be changed"


def test_without_quorum_every_verb_that_acts_refuses_before_anything_is_touched() -> None:
    world = World(lost_quorum=LOST)
    with pytest.raises(PreflightError, match=SAID) as refused:
        Up().plan(cluster(), world.ports)
    assert refused.value.exit_code == 4
    assert world.journal == []


def test_down_refuses_too_and_status_says_it_first() -> None:
    world = World()
    up(world)
    world.lost_quorum = LOST
    with pytest.raises(PreflightError, match=SAID):
        down(world)
    assert cluster_status(cluster(), world.ports).problems[0] == str(LOST)


def test_a_paused_machine_is_told_and_up_resumes_it() -> None:
    world = World()
    up(world)
    vm = next(vm for vm in world.vms.values() if vm.name == "demo-workers-1")
    vm.halted = "paused"
    status = cluster_status(cluster(), world.ports)
    assert "demo-workers-1: paused: `homelab-k8s up`" in status.problems
    assert {row.vm for row in status.machines if row.name == "demo-workers-1"} == {"paused"}
    world.journal.clear()
    up(world)
    assert [call for call in world.journal if call.startswith(("resume", "start", "clone"))] == [
        "resume demo-workers-1"
    ]


def test_a_machine_that_is_paused_again_names_its_storage() -> None:
    world = World()
    up(world)
    vm = next(vm for vm in world.vms.values() if vm.name == "demo-workers-1")
    vm.halted, vm.resumes = "io-error", False
    with pytest.raises(HypervisorError, match="is paused and does not resume") as failed:
        up(world)
    assert "io-error" in failed.value.details
    assert "pvesm status" in failed.value.resolution


def test_the_wait_for_ready_tells_that_the_vm_is_paused() -> None:
    world = World(paused_once_joined={"demo-workers-1"})
    with pytest.raises(DeadlineError, match="demo-workers-1 to be Ready") as failed:
        up(world)[0].raise_failures()
    assert "is paused (QEMU says io-error)" in failed.value.details
    assert "`qm resume" in failed.value.details


def test_unknown_capacity_names_the_missing_right_and_no_number() -> None:
    facts = PveNodeFacts(name=PveNodeName("pve1"), online=True)
    spec = cluster()
    machine = next(iter(Up().plan(spec, World().ports).machines)).spec
    (reason,) = why_not(Capacity.of(facts, spec.sizing), machine, disks_gib={})
    assert "Sys.Audit on /nodes/pve1" in reason
    assert "0" not in reason


def test_doctors_arithmetic_has_no_zero_where_nothing_is_known() -> None:
    world = World()
    up(world)
    world.pve_nodes = [replace(world.pve_nodes[0], cores=0, memory_mib=0)]
    found = check_capacity(observe_proxmox(cluster(), world.ports), Up().plan(cluster(), world.ports))
    assert "pve1: its CPUs and memory are unknown: the token lacks Sys.Audit on /nodes/pve1" in found.says
    assert "0 cores" not in found.says


def test_doctor_tells_quorum_and_kvm_in_advance() -> None:
    bare = observe_proxmox(cluster(), World().ports).observed
    fine, lame = frozenset({"sse2", "svm"}), frozenset({"sse2"})
    nodes = [PveNodeFacts(name=PveNodeName("pve1"), online=True, cpu_flags=flags) for flags in (fine, lame)]
    assert check_kvm(ClusterView(cluster(), replace(bare, pve_nodes=(nodes[0],)))).verdict is Verdict.OK
    lacking = check_kvm(ClusterView(cluster(), replace(bare, pve_nodes=(nodes[1],))))
    assert (lacking.verdict, "pve1" in lacking.says) == (Verdict.WARNING, True)
    assert check_quorum(replace(bare, lost_quorum=LOST)).verdict is Verdict.FAILED
    assert check_quorum(bare).verdict is Verdict.OK

"""Machines leave: the record says so, Kubernetes forgets them, and what was forgotten by mistake comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from bootstrap.errors import HypervisorError, KubernetesError, NotOursError
from bootstrap.events import Warned
from bootstrap.execution.context import Done
from bootstrap.execution.handlers.k3s.decommission import REACH_S
from bootstrap.execution.k3s.kube_retries import KubeWrites
from bootstrap.execution.run_facts import GuestFacts
from bootstrap.model.ids import MachineName, PoolName, PveNodeName, Vmid
from bootstrap.model.machine import MachineSpec, RecordState, Role
from bootstrap.model.observed import OWNER_TAG
from bootstrap.planning.day2_steps import DeleteKubeNode, Drain, MarkLeaving, Reclaim, RetireServer, Uncordon
from bootstrap.planning.steps import JoinAgent
from bootstrap.records.vms.machine import read_record
from tests.fakes.keys import sealed, unsealed
from tests.fakes.world import FakeHypervisor
from tests.fakes.world.shells import FakeShell
from tests.unit.execution.leaving_stage import CP1, CP2, W1, W2, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestRecord:
    def test_a_leaving_machine_says_so_and_keeps_the_rest_of_its_record(self, stage: Stage) -> None:
        before = read_record(stage.vm(W1).description)
        assert stage.perform(MarkLeaving(machine=W1)) == Done(changed=True)
        after = read_record(stage.vm(W1).description)
        assert before is not None
        assert after is not None
        assert (after.state, after.address, after.pool) == (RecordState.LEAVING, before.address, before.pool)
        assert stage.perform(MarkLeaving(machine=W1)) == Done(changed=False)
        assert stage.world.journal == [f"configure {W1}"]

    def test_a_machine_that_is_gone_or_half_cloned_is_left_as_it_is(self, stage: Stage) -> None:
        vm = stage.vm(W1)
        record = read_record(vm.description)
        assert record is not None
        vm.description = sealed(replace(record, state=RecordState.CLONING), vm.smbios_uuid)
        assert not stage.perform(MarkLeaving(machine=W1)).changed
        assert stage.state(W1) is RecordState.CLONING
        del stage.world.vms[stage.vm(W2).vmid]
        assert stage.perform(MarkLeaving(machine=W2)) == Done(changed=False, note="already removed")

    def test_what_users_wrote_stays_through_every_state(self, stage: Stage) -> None:
        vm = stage.vm(W1)
        vm.description, vm.tags = f"# owner: me\r\n\n{vm.description}\n\n* a list", f"{vm.tags};backup"
        before = vm.description
        stage.perform(MarkLeaving(machine=W1))
        assert unsealed(vm.description) == unsealed(before).replace('"made"', '"leaving"')
        stage.perform(Reclaim(machine=W1))
        assert (vm.description, vm.tags) == (before, f"{OWNER_TAG};backup")

    def test_another_vm_under_the_vmid_is_not_marked(self, stage: Stage) -> None:
        stage.vm(W1).smbios_uuid = "another"
        with pytest.raises(NotOursError):
            stage.perform(MarkLeaving(machine=W1))
        assert stage.world.journal == []

    def test_a_record_that_is_not_kept_is_noticed(self, stage: Stage) -> None:
        class Forgetful(FakeHypervisor):
            def configure(self, vmid: Vmid, *, pve_node: PveNodeName, settings: Mapping[str, str | int]) -> None:
                """Somebody writes the old description back at once."""

        ports = replace(stage.context.ports, hypervisor=Forgetful(stage.world))
        stage.context = replace(stage.context, ports=ports)
        with pytest.raises(HypervisorError, match="did not keep the record that says leaving") as caught:
            stage.perform(MarkLeaving(machine=W1))
        assert "says made" in caught.value.details

    def test_a_machine_taken_back_is_made_and_schedulable(self, stage: Stage) -> None:
        stage.perform(MarkLeaving(machine=W1))
        stage.perform(Drain(machine=W1))
        assert stage.perform(Reclaim(machine=W1)).changed
        assert (stage.state(W1), stage.schedulable()) == (RecordState.MADE, True)
        assert stage.world.journal[-2:] == [f"uncordon {W1}", f"configure {W1}"]
        assert not stage.perform(Reclaim(machine=W1)).changed

    def test_a_machine_without_a_kubernetes_node_is_taken_back_all_the_same(self, stage: Stage) -> None:
        stage.perform(MarkLeaving(machine=W1))
        del stage.world.kube_nodes[W1]
        assert stage.perform(Reclaim(machine=W1)).changed
        assert stage.state(W1) is RecordState.MADE


class TestLeavingKubernetes:
    def test_an_agent_leaves(self, stage: Stage) -> None:
        assert stage.perform(DeleteKubeNode(machine=W1, server=False)).changed
        assert W1 not in stage.world.kube_nodes
        assert stage.perform(DeleteKubeNode(machine=W1, server=False)) == Done(changed=False, note="already removed")

    def test_a_server_that_a_finalizer_holds_is_waited_for_until_its_etcd_member_is_gone(self, stage: Stage) -> None:
        stage.world.held_nodes.add(CP2)
        began_s = stage.world.clock.now_s()
        done = stage.perform(DeleteKubeNode(machine=CP2, server=True))
        assert done.changed
        assert "once k3s has stopped there" in done.note
        assert stage.world.clock.now_s() - began_s == 0

    def test_the_server_that_we_talk_to_leaves_by_way_of_another(self, stage: Stage) -> None:
        stage.perform(DeleteKubeNode(machine=CP1, server=True))
        assert CP1 not in stage.world.kube_nodes
        assert stage.world.journal == [f"delete {CP1} through {stage.vm(CP2).address}"]

    @pytest.mark.parametrize("other", ["dead", "deleted"])
    def test_the_only_server_stays(self, stage: Stage, other: str) -> None:
        if other == "dead":
            stage.vm(CP2).running = False
        else:
            del stage.world.kube_nodes[CP2]
        with pytest.raises(KubernetesError, match="demo-cp-1 is the only Ready server of demo"):
            stage.perform(DeleteKubeNode(machine=CP1, server=True))
        assert CP1 in stage.world.kube_nodes


class TestJoiningAgain:
    @pytest.mark.parametrize("deleted", [True, False])
    def test_k3s_that_runs_without_a_node_is_restarted_and_registers(self, stage: Stage, deleted: bool) -> None:
        """Deleted while its agent ran, a node does not come back until k3s-agent is restarted."""
        vm = stage.vm(W1)
        vm.k3s_sha256 = "12" * 32
        machine = MachineSpec(
            name=W1,
            role=Role.WORKER,
            pool=PoolName("workers"),
            cores=2,
            memory_mib=2048,
            disk_gib=20,
            cpu_type=None,
        )
        findings = stage.context.findings
        findings.shells.put(W1, FakeShell(stage.world, vm))
        guest = GuestFacts(
            address=vm.address,
            arch="amd64",
            machine_id="x",
            k3s_sha256=vm.k3s_sha256,
            k3s_version="",
            active_state="active",
        )
        findings.guests.put(W1, guest)
        stage.perform(JoinAgent(machine=machine))  # Its settings are as wanted from here on.
        if deleted:
            stage.perform(DeleteKubeNode(machine=W1, server=False))
        done = stage.perform(JoinAgent(machine=machine))
        assert done.changed is deleted
        assert W1 in stage.world.kube_nodes


class TestRetiring:
    def test_a_server_that_is_out_of_etcd_serves_no_more(self, stage: Stage) -> None:
        stage.vm(CP2).settings["ipconfig0"] = "ip=192.0.2.9/24"
        stage.perform(DeleteKubeNode(machine=CP2, server=True))
        assert stage.perform(RetireServer(machine=CP2)).changed
        assert stage.vm(CP2).unit == ""
        assert stage.perform(RetireServer(machine=CP2)) == Done(changed=False)

    @pytest.mark.parametrize("out_of_reach", ["off", "silent", "no login", "gone"])
    def test_one_that_cannot_be_reached_is_told_and_no_obstacle(self, stage: Stage, out_of_reach: str) -> None:
        vm = stage.vm(CP2)
        if out_of_reach == "off":
            vm.running = False
        elif out_of_reach == "silent":
            stage.world.silent.add(CP2)
        elif out_of_reach == "no login":
            stage.world.refuses_key.add(CP2)
        else:
            del stage.world.vms[vm.vmid]
        began_s = stage.world.clock.now_s()
        assert stage.perform(RetireServer(machine=CP2)) == Done(changed=False, note="not reached")
        assert stage.world.clock.now_s() - began_s < 2 * REACH_S
        (told,) = [event.message for event in stage.events if isinstance(event, Warned)]
        assert "k3s on demo-cp-2 was not stopped" in told


@pytest.mark.parametrize("hiccups", [1, 20])
class TestMomentsWithoutAnAnswer:
    """Each write to Kubernetes is asked for again while its API says to come again."""

    def test_a_node_is_deleted(self, stage: Stage, hiccups: int) -> None:
        stage.world.hiccups = hiccups
        stage.perform(DeleteKubeNode(machine=CP2, server=True))
        assert CP2 not in stage.world.kube_nodes

    def test_a_node_is_cordoned_and_uncordoned(self, stage: Stage, hiccups: int) -> None:
        stage.world.hiccups = hiccups
        stage.perform(Drain(machine=W1))
        assert not stage.schedulable(W1)
        stage.world.hiccups = hiccups
        stage.perform(Uncordon(machine=W1))
        assert stage.schedulable(W1)

    def test_a_node_gets_labels_and_an_address(self, stage: Stage, hiccups: int) -> None:
        writes = KubeWrites(stage.context)
        stage.world.hiccups = hiccups
        assert writes.set_kube_node_metadata(W1, labels={"a": "b"}, taints=())
        stage.world.hiccups = hiccups
        assert writes.set_kube_node_address(W1, IPv4Address("192.0.2.77"))
        stage.world.hiccups = hiccups
        assert not writes.set_kube_node_address(W1, IPv4Address("192.0.2.77"))
        assert not writes.set_kube_node_address(MachineName("nobody"), IPv4Address("192.0.2.77"))


def test_a_write_that_is_refused_is_not_asked_for_again(stage: Stage) -> None:
    writes = KubeWrites(stage.context)
    began_s = stage.world.clock.now_s()
    with pytest.raises(KubernetesError, match="404"):
        writes.set_unschedulable(MachineName("nobody"), unschedulable=True)
    assert stage.world.clock.now_s() == began_s

"""What others write into Proxmox VE, and answers of odd form: named and passed over, and all else is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import UnreadableAnswerError
from bootstrap.events import Event, Told
from bootstrap.model.ids import ClusterName, Vmid
from bootstrap.model.observed import OWNER_TAG, VmRecord
from bootstrap.records.vms.machine import MARK, is_ours
from bootstrap.records.vms.template import MARK as TEMPLATE_MARK
from bootstrap.records.vms.template import TEMPLATE_TAG
from bootstrap.waiting import reporting_to
from tests.adapters.proxmox.pve_lab import PVE1, TEMPLATE, VM, VMIDS, Lab
from tests.fuzz.proxmox import CannedApi, connected, recorded

DEMO = ClusterName("demo")
BODY = {
    "format": 1, "cluster": "demo", "machine": "demo-cp-1", "role": "control-plane", "pool": "control-plane",
    "vmid": 7001, "state": "made",
}  # fmt: skip


def written(**changes: Any) -> str:
    return json.dumps({**BODY, **changes})


HOSTILE = {
    "a vmid beyond all numbers": written().replace("7001", "1e999"),
    "a vmid of 5 000 digits": written().replace("7001", "9" * 5000),
    "3 000 brackets": "[" * 3000,
    "3 000 nested mappings": '{"a":' * 3000,
    "a cluster that is no file name": written(cluster="../../etc"),
    "a cluster with a NUL": written(cluster="de\0mo"),
    "a machine of odd form": written(machine="\x1b[2J"),
    "a list": "[]",
    "replaces as a number": written(replaces=7),
    "an address as a list": written(address=["198.18.0.5"]),
}


@pytest.fixture(params=list(HOSTILE.values()), ids=list(HOSTILE))
def hostile(request: pytest.FixtureRequest, lab: Lab, vm: Vmid) -> str:
    """A VM in our range whose description somebody has written to hurt."""
    text: str = request.param
    lab.pve.vm(vm).config |= {"description": f"mine\n{MARK} {text}", "tags": f"demo;{OWNER_TAG}"}
    return text


@pytest.mark.usefixtures("hostile")
def test_a_hostile_record_makes_a_vm_nobodys_and_stops_no_reading(hypervisor: ProxmoxHypervisor) -> None:
    facts = hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    (seen,) = facts.vms
    assert not is_ours(seen, DEMO)
    assert seen.problem.startswith("its record cannot be read: ")
    assert len(seen.problem) < 300
    assert TEMPLATE in {template.vmid for template in facts.templates}
    assert [vm.problem for vm in hypervisor.machines()] == [seen.problem]
    assert hypervisor.read_vm(VM, pve_node=PVE1).record is None


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_template_record_hides_no_other_template(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid, text: str
) -> None:
    lab.pve.vm(vm).config |= {"description": f"{TEMPLATE_MARK} {text}", "tags": TEMPLATE_TAG}
    told: list[Event] = []
    with reporting_to(told.append):
        assert hypervisor.templates.templates() == ()
    (event,) = told
    assert isinstance(event, Told)
    assert event.message.startswith(f"demo-cp-1 (vmid {vm} on pve1) is skipped: its record cannot be read: ")


def with_answer(key: str, answer: Any) -> ProxmoxHypervisor:
    """A recorded cluster, one of whose answers is another."""
    assert key in recorded()
    return connected(CannedApi({**recorded(), key: answer}))


def of_recorded(hypervisor: ProxmoxHypervisor) -> dict[int, VmRecord]:
    return {vm.vmid: vm for vm in hypervisor.observe(cluster=DEMO, vmids=VMIDS).vms}


def test_a_config_of_odd_form_is_its_vms_matter_alone() -> None:
    key = "GET nodes/pve1/qemu/7001/config"
    for odd in ({"cores": "many"}, {"memory": "1e999"}, {"description": ["x"]}, {"name": "\ud800"}):
        found = of_recorded(with_answer(key, {**recorded()[key], **odd}))
        assert found[7001].problem
        assert found[7001].record is None
        assert found[7002].record is not None, "the container beside it is read"


def test_a_row_of_odd_form_is_named_and_the_others_are_read() -> None:
    rows = recorded()["GET nodes/pve1/qemu"]
    for odd in (["x"], {"vmid": 1e999}, {"vmid": [7001]}, None):
        facts = with_answer("GET nodes/pve1/qemu", [odd, *rows]).observe(cluster=DEMO, vmids=VMIDS)
        assert any("list the guests of pve1" in line and "[0]" in line for line in facts.passed_over)
        assert {7001, 7999} <= {vm.vmid for vm in facts.vms}


def test_a_proxmox_node_of_odd_form_is_named_and_the_others_are_read() -> None:
    nodes = recorded()["GET nodes"]
    for odd in (["x"], {"node": "../x", "status": "online"}, {"node": "\0"}, {}):
        facts = with_answer("GET nodes", [*nodes, odd]).observe(cluster=DEMO, vmids=VMIDS)
        assert [node.name for node in facts.pve_nodes] == ["pve1", "pve2"]
        assert any(line.startswith("cannot list the Proxmox nodes") for line in facts.passed_over)


def test_a_proxmox_node_that_tells_nonsense_of_itself_cannot_be_asked() -> None:
    status = recorded()["GET nodes/pve2/status"]
    facts = with_answer("GET nodes/pve2/status", {**status, "cpuinfo": ["x"]}).observe(cluster=DEMO, vmids=VMIDS)
    assert [(node.name, node.online) for node in facts.pve_nodes] == [("pve1", True), ("pve2", False)]
    assert "cpuinfo" in facts.pve_nodes[1].problem


@pytest.mark.parametrize(
    "answer", [["x"], {"result": ["x"]}, {"result": [{"ip-addresses": 7}]}, {"result": 1}, "x", None]
)
def test_a_guest_agents_nonsense_is_an_error_that_names_machine_field_and_value(answer: Any) -> None:
    hypervisor = with_answer("GET nodes/pve1/qemu/7001/agent/network-get-interfaces", answer)
    with pytest.raises(UnreadableAnswerError, match=r"of VM 7001 on pve1 from its guest agent") as raised:
        hypervisor.guest_interfaces(VM, pve_node=PVE1)
    assert " is " in raised.value.details


def test_an_upid_that_is_a_path_is_refused() -> None:
    hypervisor = with_answer("POST nodes/pve1/qemu/7001/status/start", "../../access/ticket")
    with pytest.raises(UnreadableAnswerError, match="cannot start VM 7001"):
        hypervisor.start(VM, pve_node=PVE1, warn=lambda _line: None)

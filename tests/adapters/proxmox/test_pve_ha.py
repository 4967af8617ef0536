"""VMs that Proxmox HA manages, and Proxmox nodes that it has in maintenance."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import DeadlineError, HypervisorError
from bootstrap.model.ids import ClusterName, Vmid
from bootstrap.ports import ContainerRequest
from tests.adapters.proxmox.pve_lab import NAME, PVE1, VM, VMIDS, Lab, clone_request

CT = Vmid(7002)
DEMO = ClusterName("demo")


def manage(lab: Lab, vmid: Vmid, state: str = "started") -> None:
    async def act() -> None:
        lab.server.ha.manage(lab.pve.guest(vmid), state)

    lab.server.run(act())


@pytest.fixture
def managed(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> Vmid:
    """A running VM of Proxmox HA's."""
    hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    manage(lab, vm)
    return vm


def test_a_managed_vm_is_seen_as_such(lab: Lab, hypervisor: ProxmoxHypervisor, managed: Vmid) -> None:
    assert hypervisor.read_vm(managed, pve_node=PVE1).ha_managed
    assert [vm.ha_managed for vm in hypervisor.observe(cluster=DEMO, vmids=VMIDS).vms] == [True]
    manage(lab, managed, "ignored")
    assert not hypervisor.read_vm(managed, pve_node=PVE1).ha_managed
    assert [vm.ha_managed for vm in hypervisor.observe(cluster=DEMO, vmids=VMIDS).vms] == [False]


@pytest.mark.parametrize("seen", [True, False], ids=["seen as managed", "managed since"])
def test_it_has_stopped_when_stop_returns(
    lab: Lab, hypervisor: ProxmoxHypervisor, managed: Vmid, *, seen: bool
) -> None:
    """The task `hastop` ends well at once; `overrule-shutdown` is refused."""
    if seen:
        hypervisor.read_vm(managed, pve_node=PVE1)
    lab.seen.clear()
    hypervisor.stop(managed, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.vm(managed).status == "stopped"
    assert lab.requests("POST", "/status/stop") == (1 if seen else 2)
    assert lab.pve.tasklog[-1]["type"] == "hastop"


def test_it_has_stopped_when_shutdown_returns_and_runs_when_start_does(
    lab: Lab, hypervisor: ProxmoxHypervisor, managed: Vmid
) -> None:
    hypervisor.shutdown(managed, pve_node=PVE1, timeout_s=30, warn=lab.warnings.append)
    assert lab.pve.vm(managed).status == "stopped"
    hypervisor.start(managed, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.vm(managed).status == "running"
    assert lab.guests.guests[managed].on


def test_it_is_destroyed_and_out_of_ha(lab: Lab, hypervisor: ProxmoxHypervisor, managed: Vmid) -> None:
    hypervisor.stop(managed, pve_node=PVE1, warn=lab.warnings.append)
    hypervisor.destroy(managed, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.vm(managed) is None
    assert not [path for _, path in lab.seen if "/cluster/ha" in path]


def test_a_managed_container_is_stopped_started_and_destroyed(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    settings = {"ostemplate": "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst", "rootfs": "local:8"}
    request = ContainerRequest(pve_node=PVE1, vmid=CT, name=NAME, description="", settings=settings)
    hypervisor.create_container(request, warn=lab.warnings.append)
    hypervisor.start(CT, pve_node=PVE1, warn=lab.warnings.append)
    manage(lab, CT)
    assert hypervisor.read_vm(CT, pve_node=PVE1).ha_managed
    hypervisor.stop(CT, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.ct(CT).status == "stopped"
    hypervisor.start(CT, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.ct(CT).status == "running"
    hypervisor.stop(CT, pve_node=PVE1, warn=lab.warnings.append)
    hypervisor.destroy(CT, pve_node=PVE1, warn=lab.warnings.append)
    assert lab.pve.ct(CT) is None


def test_ha_that_does_nothing_is_given_up_with_what_to_do(lab: Lab) -> None:
    hypervisor = lab.connect_to(lab.endpoint, ha_wait_s=0.8)
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    hypervisor.start(VM, pve_node=PVE1, warn=lab.warnings.append)
    manage(lab, VM)
    lab.pve.vm(VM).ha_state = "error"
    with pytest.raises(DeadlineError) as given_up:
        hypervisor.stop(VM, pve_node=PVE1, warn=lab.warnings.append)
    error = given_up.value
    assert "Proxmox HA to stop VM 7001 (demo-cp-1) on pve1" in str(error)
    assert "it is running, its HA state is error" in error.details
    assert "ha-manager set vm:7001 --state disabled" in error.resolution


def test_ha_that_is_told_to_start_it_again_is_an_error_that_says_so(
    lab: Lab, hypervisor: ProxmoxHypervisor, managed: Vmid
) -> None:
    lab.pve.time_scale = 0.3  # HA takes 3 s: time to change its mind
    started = threading.Event()

    async def again() -> None:
        while lab.pve.vm(managed).ha_state != "request_stop":
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)  # it was looked at in between
        lab.server.ha.manage(lab.pve.vm(managed), "started")
        started.set()

    thread = threading.Thread(target=lambda: lab.server.run(again()))
    thread.start()
    with pytest.raises(HypervisorError, match="Proxmox HA was set to start it again") as refused:
        hypervisor.stop(managed, pve_node=PVE1, warn=lab.warnings.append)
    thread.join()
    assert started.is_set()
    assert "ha-manager remove vm:7001" in refused.value.resolution


def test_one_that_ha_has_started_again_is_not_destroyed_and_that_is_said(
    lab: Lab, hypervisor: ProxmoxHypervisor, managed: Vmid
) -> None:
    with pytest.raises(
        HypervisorError, match=r"cannot destroy VM 7001 .* Proxmox HA was set to start it again"
    ) as refused:
        hypervisor.destroy(managed, pve_node=PVE1, warn=lab.warnings.append)
    assert "VM 7001 is running - destroy failed" in refused.value.details


def test_a_node_in_maintenance_is_told(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab(pve_nodes=2)
    hypervisor = lab.connect()
    assert [facts.maintenance for facts in hypervisor.observe(cluster=DEMO, vmids=VMIDS).pve_nodes] == [False, False]
    lab.server.faults.add("pve-node-maintenance", pve_node="pve2")
    assert [
        (facts.name, facts.online, facts.maintenance)
        for facts in hypervisor.observe(cluster=DEMO, vmids=VMIDS).pve_nodes
    ] == [("pve1", True, False), ("pve2", True, True)]

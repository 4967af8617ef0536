"""What only Proxmox VE can tell of a record: whether a clone task of ours made its VM, and its resource pool."""

from __future__ import annotations

import time
from dataclasses import replace

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.model.ids import ClusterName, PoolName
from bootstrap.model.machine import CloneAsked, MachineRecord, RecordState, Role
from bootstrap.model.observed import VmRecord
from bootstrap.records.vms.machine import identity_of
from bootstrap.records.vms.proof import NOT_IN_POOL, NOT_OUR_CLONE, OTHER_KEY, UNSEALED
from tests.adapters.proxmox.pve_lab import NAME, PVE1, TEMPLATE, VM, VMIDS, Lab, clone_request, token
from tests.fakes.keys import FakeKeys, sealed, unsealed

DEMO = ClusterName("demo")


def cloning(*, asked_s: float | None = None) -> MachineRecord:
    return MachineRecord(
        cluster=DEMO,
        machine=NAME,
        role=Role.CONTROL_PLANE,
        pool=PoolName("control-plane"),
        vmid=VM,
        state=RecordState.CLONING,
        cloned=CloneAsked(template=TEMPLATE, asked_s=int(time.time() if asked_s is None else asked_s)),
    )


def clone(lab: Lab, hypervisor: ProxmoxHypervisor, record: MachineRecord | None = None) -> str:
    description = sealed(record or cloning(), None)
    hypervisor.clone(clone_request(description=description), warn=lab.warnings.append)
    return description


def seen(hypervisor: ProxmoxHypervisor) -> VmRecord:
    """By a look at everything, and alone: both say the same."""
    (vm,) = hypervisor.observe(cluster=DEMO, vmids=VMIDS).vms
    assert hypervisor.read_vm(VM, pve_node=PVE1).doubt == vm.doubt
    return vm


def test_a_clone_is_ours_to_who_asked_for_it_and_to_who_comes_next(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    clone(lab, hypervisor)
    assert seen(hypervisor).doubt == ""
    assert seen(lab.connect()).doubt == ""


def test_its_request_on_a_vm_that_nobody_cloned_proves_nothing(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    """A stranger's stopped VM was given our keys, cores and disk, and started."""
    lab.pve.add_vm(VM, NAME, node="pve1", config={"name": NAME, "description": sealed(cloning(), None)})
    assert seen(hypervisor).doubt == NOT_OUR_CLONE


def test_another_tokens_clone_is_not_ours(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    others = lab.connect(token=token(lab.info.root_token))
    clone(lab, others)
    assert seen(hypervisor).doubt == NOT_OUR_CLONE


def test_an_old_request_finds_no_task(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    clone(lab, hypervisor, cloning(asked_s=time.time() - 3600))
    assert seen(lab.connect()).doubt == NOT_OUR_CLONE


def test_once_it_has_run_its_request_proves_nothing(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    clone(lab, hypervisor)
    hypervisor.start(VM, pve_node=PVE1, warn=lab.warnings.append)
    assert seen(lab.connect()).doubt == NOT_OUR_CLONE
    hypervisor.stop(VM, pve_node=PVE1, warn=lab.warnings.append)
    assert seen(lab.connect()).doubt == NOT_OUR_CLONE


def test_a_vm_that_was_made_in_its_place_is_not_it(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    description = clone(lab, hypervisor)
    hypervisor.destroy(VM, pve_node=PVE1, warn=lab.warnings.append)
    lab.pve.add_vm(VM, NAME, node="pve1", config={"name": NAME, "description": description})
    assert seen(lab.connect()).doubt == NOT_OUR_CLONE


def test_a_configured_machine_is_ours_by_its_uuid(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    clone(lab, hypervisor)
    there = hypervisor.read_vm(VM, pve_node=PVE1)
    made = replace(cloning(), state=RecordState.MADE, cloned=None)
    description = sealed(made, identity_of(there))
    hypervisor.configure(VM, pve_node=PVE1, settings={"description": description})
    assert seen(hypervisor).doubt == ""
    hypervisor.destroy(VM, pve_node=PVE1, warn=lab.warnings.append)
    hypervisor.clone(clone_request(description=description), warn=lab.warnings.append)
    assert seen(hypervisor).doubt == OTHER_KEY
    for text, doubt in (
        (unsealed(description), UNSEALED),
        (sealed(made, identity_of(hypervisor.read_vm(VM, pve_node=PVE1)), keys=FakeKeys("other")), OTHER_KEY),
    ):
        hypervisor.configure(VM, pve_node=PVE1, settings={"description": text})
        assert seen(hypervisor).doubt == doubt


def test_a_machine_has_to_be_in_its_clusters_resource_pool(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    clone(lab, hypervisor)
    there = hypervisor.read_vm(VM, pve_node=PVE1)
    made = replace(cloning(), state=RecordState.MADE, cloned=None)
    hypervisor.configure(VM, pve_node=PVE1, settings={"description": sealed(made, identity_of(there))})
    strict = lab.connect_to(lab.endpoint, pools={DEMO: "kpool"})
    assert seen(strict).doubt == NOT_IN_POOL
    lab.pve.pools["kpool"], lab.pve.vm(VM).pool = {VM}, "kpool"
    assert seen(strict).doubt == ""
    lab.seen.clear()
    strict.read_vm(VM, pve_node=PVE1)
    assert lab.requests("GET", "/cluster/resources") == 0, "asked once of each"

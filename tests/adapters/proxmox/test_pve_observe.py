"""One reading of a Proxmox cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import HypervisorError
from bootstrap.model.ids import ClusterName, PoolName, PveNodeName, Vmid
from bootstrap.model.machine import MachineKind, MachineRecord, RecordState, Role
from bootstrap.model.observed import PveVersion, UnreachableVm
from tests.adapters.proxmox.pve_lab import NAME, PVE1, TEMPLATE, VM, VMIDS, Lab, clone_request, token
from tests.fakes.keys import sealed

DEMO = ClusterName("demo")
PVE2 = PveNodeName("pve2")
RECORD = MachineRecord(
    cluster=DEMO,
    machine=NAME,
    role=Role.CONTROL_PLANE,
    pool=PoolName("control-plane"),
    vmid=VM,
    state=RecordState.CLONING,
    address=IPv4Address("198.18.0.5"),
)
GIB = 1024**3


def test_a_fresh_lab_is_seen_as_it_is(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab(pve_nodes=2, cores=6, memory_mib=8192, storage_gib=100)
    facts = lab.connect().observe(cluster=DEMO, vmids=VMIDS)
    assert facts.version == PveVersion(major=9, minor=2, text="9.2.11")
    assert [node.name for node in facts.pve_nodes] == ["pve1", "pve2"]
    node = facts.pve_nodes[0]
    assert (node.online, node.cores, node.memory_mib, node.architecture) == (True, 6, 8192, "x86_64")
    assert node.cpu_model
    assert "sse2" in node.cpu_flags or "asimd" in node.cpu_flags
    assert node.bridges == {"vmbr0"}
    assert (node.committed_cores, node.committed_memory_mib) == (0, 0)
    (storage,) = node.storages
    assert (storage.name, storage.kind, storage.shared, storage.active) == ("local", "dir", False, True)
    assert storage.free_gib == 100
    assert "images" in storage.content
    template = facts.templates[0]
    assert (template.vmid, template.pve_node, template.agent_enabled) == (9000, "pve1", True)
    assert (template.disk, template.disk_gib, template.storage, template.linkable) == ("scsi0", 3, "local", True)
    assert (template.cloud_init_drive, template.bridge) == ("ide2", "vmbr0")
    assert template.scsi_controller == "virtio-scsi-single"
    assert facts.vms == ()
    assert facts.used_vmids == {9000, 9001}


def test_it_only_reads_and_believes_nothing_of_the_lagging_resources(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    """They are asked for what Proxmox HA does, which does not lag."""
    lab.seen.clear()
    seen = hypervisor.observe(cluster=DEMO, vmids=VMIDS).vms
    assert {method for method, _ in lab.seen} == {"GET"}
    assert lab.requests("GET", "/cluster/resources") == 1
    stale = {"id": f"qemu/{vm}", "type": "qemu", "vmid": vm, "name": "old-name", "node": "pve1", "status": "running"}
    shown = {"id": "qemu/7500", "type": "qemu", "vmid": 7500, "name": "demo-cp-9", "node": "pve1", "status": "running"}
    lab.answer_resources([stale, shown])
    assert hypervisor.observe(cluster=DEMO, vmids=VMIDS).vms == seen


def test_a_machine_of_ours_is_seen_with_its_record(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    hypervisor.clone(clone_request(description=sealed(RECORD, None)), warn=lab.warnings.append)
    hypervisor.configure(
        VM, pve_node=PVE1, settings={"cores": 2, "memory": 2048, "tags": "homelab-k8s", "ipconfig0": "ip=198.18.0.5/16"}
    )
    hypervisor.start(VM, pve_node=PVE1, warn=lab.warnings.append)
    facts = hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    (seen,) = facts.vms
    assert seen.record == RECORD
    assert (seen.vmid, seen.name, seen.pve_node, seen.running) == (VM, NAME, "pve1", True)
    assert (seen.cores, seen.memory_mib, seen.disk, seen.disk_gib) == (2, 2048, "scsi0", 3)
    assert seen.tags == {"homelab-k8s"}
    assert seen.mac is not None
    assert seen.net0 is not None
    assert seen.mac in seen.net0
    assert seen.smbios_uuid is not None
    assert replace(hypervisor.read_vm(VM, pve_node=PVE1), uptime_s=seen.uptime_s) == seen
    assert facts.used_vmids == {VM, TEMPLATE}


@pytest.mark.parametrize(
    ("vmid", "name", "config", "seen"),
    [
        (500, "other", {}, False),
        (7500, "other", {}, True),
        (500, "other", {"tags": "a;homelab-k8s"}, True),
        (500, "other", {"description": sealed(RECORD, None)}, True),
        (500, "demo-worker-1", {}, True),
        (500, "demolition", {}, False),
    ],
)
def test_vms_that_could_be_ours_or_stand_in_the_way_are_seen_and_no_others(
    lab: Lab, hypervisor: ProxmoxHypervisor, vmid: int, name: str, config: dict[str, str], seen: bool
) -> None:
    lab.pve.add_vm(vmid, name, node="pve1", config={"name": name, **config})
    facts = hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    assert [vm.vmid for vm in facts.vms] == ([vmid] if seen else [])
    assert vmid in facts.used_vmids


def test_what_runs_and_what_starts_at_boot_counts_as_committed(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    def add(vmid: int, status: str, config: dict[str, object]) -> None:
        lab.pve.add_vm(vmid, f"vm{vmid}", node="pve1", status=status, config=config)

    add(500, "running", {"cores": 2, "sockets": 2, "memory": "1024"})
    add(501, "stopped", {"cores": 3, "memory": "2048", "onboot": 1})
    add(502, "stopped", {"cores": 7, "memory": "8192"})
    lab.pve.vm(TEMPLATE).config["onboot"] = 1
    (node,) = hypervisor.observe(cluster=DEMO, vmids=VMIDS).pve_nodes
    assert (node.committed_cores, node.committed_memory_mib) == (4 + 3, 1024 + 2048)


def test_containers_count_and_hold_their_vmids(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.add_ct(7300, "ct", node="pve1", status="running", config={"cores": 2, "memory": 512})
    facts = hypervisor.observe(cluster=DEMO, vmids=VMIDS)
    assert 7300 in facts.used_vmids
    assert facts.pve_nodes[0].committed_memory_mib == 512
    assert [(vm.vmid, vm.kind, vm.record) for vm in facts.vms] == [(7300, MachineKind.LXC, None)]


def test_an_offline_node_is_told_and_its_vmids_are_known(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab(pve_nodes=2)
    lab.pve.add_vm(7400, "demo-worker-1", node="pve2", config={"tags": "homelab-k8s"})
    lab.pve.set_node_offline("pve2")
    facts = lab.connect().observe(cluster=DEMO, vmids=VMIDS)
    assert [(node.name, node.online) for node in facts.pve_nodes] == [("pve1", True), ("pve2", False)]
    assert [template.pve_node for template in facts.templates] == ["pve1"]
    assert facts.used_vmids == {9000, 9001, 7400}
    assert facts.vms == ()
    assert facts.unreachable == (
        UnreachableVm(vmid=Vmid(7400), name="demo-worker-1", pve_node=PVE2, tags=frozenset({"homelab-k8s"})),
    )


def test_a_node_that_counts_as_online_and_does_not_answer_is_told_and_its_guests_are_out_of_sight(
    start_lab: Callable[..., Lab],
) -> None:
    lab = start_lab(pve_nodes=2)
    lab.pve.add_vm(7400, "demo-worker-1", node="pve2", config={"tags": "demo;homelab-k8s"})
    lab.pve.add_vm(7401, "demo-worker-2", node="pve2")
    lab.pve.add_vm(7402, "somebody-elses", node="pve2")
    lab.pve.add_ct(7403, "demo-worker-3", node="pve2", config={"tags": "Homelab-k8s"})  # tag-style
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=0.3)
    for path in ("/nodes/pve2/qemu", "/nodes/pve2/lxc", "/nodes/pve2/storage", "/qemu/7400/config"):
        lab.pve.fail("GET", path, 595, "No route to host")
        facts = hypervisor.observe(cluster=DEMO, vmids=VMIDS)
        assert [(node.online, node.problem) for node in facts.pve_nodes] == [
            (True, ""),
            (False, "595 No route to host"),
        ], path
        assert [(vm.vmid, vm.kind, vm.why) for vm in facts.unreachable] == [
            (7400, MachineKind.VM, "595 No route to host"),
            (7401, MachineKind.VM, "595 No route to host"),
            (7403, MachineKind.LXC, "595 No route to host"),
        ], path
        assert [vm.vmid for vm in facts.vms] == [7402]
        assert {7400, 7401, 7402, 7403} < facts.used_vmids
        found = hypervisor.machines()
        if path != "/nodes/pve2/storage":  # which `machines` does not ask for
            assert [(vm.vmid, vm.record) for vm in found] == [(7400, None), (7403, None)], path
        lab.pve.failures.clear()


def test_if_no_node_answers_it_is_an_error(lab: Lab) -> None:
    """Silence about it would hide machines of ours, and `up` would make them a second time."""
    lab.pve.fail("GET", "/nodes/pve1/qemu", 595, "No route to host")
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=0.3)
    with pytest.raises(HypervisorError, match="cannot list the guests of pve1: 595 No route to host"):
        hypervisor.observe(cluster=DEMO, vmids=VMIDS)


def test_a_vm_that_vanishes_while_reading_is_passed_over(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    text = "Configuration file 'nodes/pve1/qemu-server/7001.conf' does not exist"
    lab.pve.fail("GET", f"/qemu/{vm}/config", 500, text)
    assert hypervisor.observe(cluster=DEMO, vmids=VMIDS).vms == ()


def test_a_token_without_rights_sees_an_empty_cluster_and_no_error(lab: Lab) -> None:
    facts = lab.connect(token=token(lab.info.no_rights_token)).observe(cluster=DEMO, vmids=VMIDS)
    assert (facts.templates, facts.vms, facts.used_vmids) == ((), (), frozenset())
    assert facts.pve_nodes[0].bridges == frozenset()


def test_another_version_is_told(start_lab: Callable[..., Lab]) -> None:
    facts = start_lab(pve_version=8).connect().observe(cluster=DEMO, vmids=VMIDS)
    assert (facts.version.major, facts.version.minor) == (8, 4)


def test_machines_of_all_clusters_are_listed_and_strangers_configs_not_read(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab(pve_nodes=3)
    described = {"description": sealed(RECORD, None), "tags": "demo;homelab-k8s"}
    lab.pve.add_vm(VM, NAME, node="pve1", status="running", config={"name": NAME, **described})
    lab.pve.add_vm(500, "nas", node="pve1", status="running", config={"name": "nas", "tags": "homelab-k8s-not"})
    lab.pve.add_vm(8001, "other-cp-1", node="pve2", config={"name": "other-cp-1", "tags": "homelab-k8s;other"})
    lab.pve.add_vm(8002, "other-cp-2", node="pve3", config={"name": "other-cp-2", "tags": "homelab-k8s;other"})
    lab.pve.set_node_offline("pve3")
    hypervisor = lab.connect()
    lab.seen.clear()
    found = hypervisor.machines()
    assert [(int(vm.vmid), vm.name, vm.running, sorted(vm.tags)) for vm in found] == [
        (7001, NAME, True, ["demo", "homelab-k8s"]),
        (8001, "other-cp-1", False, ["homelab-k8s", "other"]),
        (8002, "other-cp-2", False, ["homelab-k8s", "other"]),
    ]
    assert [vm.record for vm in found] == [RECORD, None, None]
    read = sorted(path.removeprefix("/api2/json") for _, path in lab.seen if path.endswith("/config"))
    assert read == ["/nodes/pve1/qemu/7001/config", "/nodes/pve2/qemu/8001/config"]


def test_packages_are_told_and_of_a_token_that_may_not_see_them_nothing(
    lab: Lab, hypervisor: ProxmoxHypervisor
) -> None:
    assert hypervisor.package_versions(PVE1)["qemu-server"] == "9.2.6"
    lab.grant_only(("/vms", "VM.Audit"))
    assert hypervisor.package_versions(PVE1) == {}

"""Containers through the adapter, against the lab's front over TLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import asyncssh
import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.adapters.proxmox.observe.container_host_keys import fingerprint
from bootstrap.errors import AgentNotRunningError, HypervisorError, VmidTakenError, VmNotFoundError
from bootstrap.lab.guests.base import LabNetwork
from bootstrap.lab.guests.qemu import QemuGuests
from bootstrap.model.access.rights import RightsNeeded
from bootstrap.model.ids import ClusterName, MachineName, PoolName, StorageName, Vmid
from bootstrap.model.machine import MachineKind, MachineRecord, RecordState, Role
from bootstrap.model.observed import OWNER_TAG, container_identity
from bootstrap.ports import ContainerRequest
from bootstrap.proxmox.reading.answers import answer
from bootstrap.proxmox.reading.containers import parse_interfaces
from bootstrap.records.vms.machine import is_ours
from tests.adapters.proxmox.pve_lab import PVE1, VM, VMIDS, Lab, Relay, clone_request, token
from tests.fakes.keys import sealed

DEMO = ClusterName("demo")
CT = Vmid(7002)
NAME = MachineName("demo-light-1")
MAC = "BC:24:11:00:00:02"
RECORD = MachineRecord(
    cluster=DEMO, machine=NAME, role=Role.WORKER, pool=PoolName("light"), vmid=CT, state=RecordState.MADE
)
RIGHTS = "VM.Allocate VM.Audit VM.Config.CPU VM.Config.Disk VM.Config.Memory VM.Config.Network VM.Config.Options"


def request() -> ContainerRequest:
    return ContainerRequest(
        pve_node=PVE1,
        vmid=CT,
        name=NAME,
        description=sealed(RECORD, container_identity(MAC)),
        settings={
            "ostemplate": "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst",
            "rootfs": "local:8",
            "cores": 2,
            "memory": 1024,
            "swap": 0,
            "unprivileged": 1,
            "features": "nesting=1",
            "onboot": 1,
            "net0": f"name=eth0,bridge=vmbr0,hwaddr={MAC},ip=dhcp",
            "ssh-public-keys": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5+/= me@desk",
            "tags": f"demo;{OWNER_TAG}",
        },
    )


@pytest.fixture
def ct(lab: Lab, hypervisor: ProxmoxHypervisor) -> Vmid:
    hypervisor.create_container(request(), warn=lab.warnings.append)
    return CT


def test_a_container_is_ours_from_the_request_on(lab: Lab, hypervisor: ProxmoxHypervisor, ct: Vmid) -> None:
    vm = hypervisor.read_vm(ct, pve_node=PVE1)
    assert is_ours(vm, DEMO)
    assert (vm.kind, vm.name, vm.cores, vm.memory_mib, vm.disk, vm.disk_gib, vm.onboot) == (
        MachineKind.LXC, NAME, 2, 1024, "rootfs", 8, True
    )  # fmt: skip
    assert vm.identity == f"net0 {vm.mac}"
    assert lab.pve.ct(ct).config["unprivileged"] == 1


def test_a_reading_by_another_process_tells_containers_from_vms(lab: Lab, ct: Vmid, vm: Vmid) -> None:
    other = lab.connect()
    found = {seen.vmid: seen.kind for seen in other.observe(cluster=DEMO, vmids=VMIDS).vms}
    assert found == {vm: MachineKind.VM, ct: MachineKind.LXC}
    assert other.read_vm(ct, pve_node=PVE1).record == RECORD
    third = lab.connect()
    assert [(seen.vmid, seen.kind) for seen in third.machines()] == [(ct, MachineKind.LXC)]
    assert third.read_vm(ct, pve_node=PVE1).name == NAME


def test_a_life_of_a_container(lab: Lab, hypervisor: ProxmoxHypervisor, ct: Vmid) -> None:
    """Each request twice: what is done already is no error."""
    warn = lab.warnings.append
    for _ in range(2):
        hypervisor.start(ct, pve_node=PVE1, warn=warn)
    vm = hypervisor.read_vm(ct, pve_node=PVE1)
    assert vm.running
    (eth0,) = hypervisor.guest_interfaces(ct, pve_node=PVE1)
    assert (eth0.mac, eth0.addresses) == (vm.mac, (IPv4Address("198.18.28.3"),))
    with pytest.raises(HypervisorError, match="container is running"):
        hypervisor.destroy(ct, pve_node=PVE1, warn=warn)
    for _ in range(2):
        hypervisor.shutdown(ct, pve_node=PVE1, timeout_s=5, warn=warn)
    hypervisor.start(ct, pve_node=PVE1, warn=warn)
    for _ in range(2):
        hypervisor.stop(ct, pve_node=PVE1, warn=warn)
    with pytest.raises(AgentNotRunningError) as raised:
        hypervisor.guest_interfaces(ct, pve_node=PVE1)
    assert raised.value.details == f"CT {ct} is not running"
    for _ in range(2):
        hypervisor.destroy(ct, pve_node=PVE1, warn=warn)
    with pytest.raises(VmNotFoundError):
        hypervisor.read_vm(ct, pve_node=PVE1)
    assert lab.warnings == []


def test_its_host_key_is_told_by_the_task_that_made_it(lab: Lab, hypervisor: ProxmoxHypervisor, ct: Vmid) -> None:
    private = lab.server.supervisor.made[lab.pve.ct(ct)].host_key
    told = hypervisor.container_host_key(ct, pve_node=PVE1)
    assert told == asyncssh.import_private_key(private).get_fingerprint()
    assert lab.connect().container_host_key(ct, pve_node=PVE1) == told

    hypervisor.destroy(ct, pve_node=PVE1, warn=lab.warnings.append)
    hypervisor.create_container(request(), warn=lab.warnings.append)
    again = hypervisor.container_host_key(ct, pve_node=PVE1)
    assert again not in (None, told)


def test_a_host_key_that_nobody_can_tell_is_none(lab: Lab, hypervisor: ProxmoxHypervisor, ct: Vmid, vm: Vmid) -> None:
    """Of a VM; of a task that another token started, or that failed; of a log that was cleared away."""
    assert hypervisor.container_host_key(vm, pve_node=PVE1) is None
    task = next(task for task in lab.pve.tasklog if task["type"] == "vzcreate")
    for change in ({"user": "someone@pve!else"}, {"exitstatus": "unable to create CT 7002 - no"}, {"log": ["TASK OK"]}):
        kept = dict(task)
        task.update(change)
        lab.grant_only(("/", "VM.Audit"))
        assert hypervisor.container_host_key(ct, pve_node=PVE1) is None, change
        task.update(kept)
    assert hypervisor.container_host_key(ct, pve_node=PVE1) is not None
    del lab.pve.tasks[task["upid"]]  # what is left is its line in the list
    assert hypervisor.container_host_key(ct, pve_node=PVE1) is None


def test_the_ed25519_key_is_found_among_others_and_behind_warnings() -> None:
    """As seen of a Proxmox VE 8; the order is that of a hash in Perl."""
    rsa, ed25519 = "MO4wvFqzdGXQrlCQgt53eMwYktHGnzBLVm29YJHuuqA", "gVOdbEVZ39HBjwCAdx9dC9Xd3F+ZmXnEoTaTT+X8QsY"
    log = [
        "extracting archive '/var/lib/vz/template/cache/debian-13-standard_13.1-2_amd64.tar.zst'",
        f"done: SHA256:{rsa} root@nobody",
        "Creating SSH host key 'ssh_host_rsa_key' - this may take some time ...",
        f"done: SHA256:{rsa} root@demo-light-1",
        "Creating SSH host key 'ssh_host_ed25519_key' - this may take some time ...",
        f"done: SHA256:{ed25519} root@demo-light-1",
        "TASK OK",
    ]
    assert fingerprint(log) == f"SHA256:{ed25519}"
    assert fingerprint(log[:5] + log[6:]) is None
    assert fingerprint([]) is None


def test_its_record_is_rewritten_and_read_back(hypervisor: ProxmoxHypervisor, ct: Vmid) -> None:
    leaving = replace(RECORD, state=RecordState.LEAVING)
    hypervisor.configure(ct, pve_node=PVE1, settings={"description": sealed(leaving, container_identity(MAC))})
    assert hypervisor.read_vm(ct, pve_node=PVE1).record == leaving


def test_a_vmid_in_use_is_told_as_such(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    with pytest.raises(VmidTakenError):
        hypervisor.create_container(replace(request(), vmid=vm), warn=lab.warnings.append)
    hypervisor.create_container(request(), warn=lab.warnings.append)
    with pytest.raises(VmidTakenError):
        hypervisor.clone(clone_request(vmid=CT), warn=lab.warnings.append)
    assert lab.pve.ct(CT).config["hostname"] == NAME


def test_a_vmid_that_was_a_container_can_be_a_vm_afterwards(lab: Lab, hypervisor: ProxmoxHypervisor, ct: Vmid) -> None:
    hypervisor.destroy(ct, pve_node=PVE1, warn=lab.warnings.append)
    hypervisor.clone(clone_request(vmid=ct), warn=lab.warnings.append)
    assert hypervisor.read_vm(ct, pve_node=PVE1).kind is MachineKind.VM


@pytest.mark.parametrize("lost", ["answer", "request"])
def test_a_lost_creation_is_not_made_twice(lab: Lab, relay: Relay, lost: str) -> None:
    parts = urlsplit(lab.info.endpoint)
    relayed = lab.connect(url=f"https://{parts.hostname}:{relay.port}")
    relayed.observe(cluster=DEMO, vmids=VMIDS)
    relay.lose = lost
    relayed.create_container(request(), warn=lab.warnings.append)
    assert relay.lose == ""
    assert [ct.vmid for ct in lab.pve.cts] == [CT]
    assert is_ours(relayed.read_vm(CT, pve_node=PVE1), DEMO)


def test_the_templates_of_containers_are_listed_by_proxmox_node(start_lab: Callable[..., Lab]) -> None:
    found = start_lab(pve_nodes=2).connect().ostemplates()
    assert [(one.pve_node, one.volume) for one in found] == [
        (name, "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst") for name in ("pve1", "pve2")
    ]


def test_a_token_with_rights_on_what_a_container_is_made_of_can_make_it(lab: Lab) -> None:
    lab.grant_only(
        ("/vms", f"{RIGHTS} VM.PowerMgmt VM.Config.Cloudinit VM.Config.HWType VM.GuestAgent.Audit"),
        ("/storage/local", "Datastore.AllocateSpace"),
        ("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
    )
    limited = lab.connect()
    rights = RightsNeeded(
        storages=(StorageName("local"),), ostemplate_storages=(StorageName("local"),), reads_guest_files=False
    )
    assert limited.missing_privileges(rights) == ()
    limited.create_container(request(), warn=lab.warnings.append)
    limited.start(CT, pve_node=PVE1, warn=lab.warnings.append)
    limited.stop(CT, pve_node=PVE1, warn=lab.warnings.append)
    limited.destroy(CT, pve_node=PVE1, warn=lab.warnings.append)


def test_a_token_that_may_not_use_a_template_is_told_where(lab: Lab) -> None:
    other = lab.connect(token=token(lab.info.no_rights_token))
    missing = other.missing_privileges(RightsNeeded(ostemplate_storages=(StorageName("iso"),)))
    assert "/storage/iso: Datastore.Audit" in map(str, missing)


@pytest.mark.parametrize("features", ["nesting=1,keyctl=1", "fuse=1"])
def test_features_but_nesting_are_refused_to_a_token(lab: Lab, hypervisor: ProxmoxHypervisor, features: str) -> None:
    """Why we do not even ask (PVE::LXC: check_ct_modify_config_perm)."""
    asked = replace(request(), settings={**request().settings, "features": features})
    with pytest.raises(HypervisorError, match="may not create CT 7002"):
        hypervisor.create_container(asked, warn=lab.warnings.append)
    assert lab.pve.ct(CT) is None


def test_interfaces_of_older_releases_have_no_list_of_addresses() -> None:
    eth0 = {"name": "eth0", "hwaddr": "bc:24:11:00:00:01", "inet": "192.0.2.7/24", "inet6": "fe80::1/64"}
    found = parse_interfaces(answer([eth0, {"name": "x"}], what="ask"))
    assert found is not None
    assert [(one.mac, one.addresses) for one in found] == [
        ("BC:24:11:00:00:01", (IPv4Address("192.0.2.7"),)), ("", ())
    ]  # fmt: skip


def test_a_strangers_container_in_our_range_is_seen_and_not_ours(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.add_ct(7050, "nas", node="pve1", status="running")
    (vm,) = [seen for seen in hypervisor.observe(cluster=DEMO, vmids=VMIDS).vms if seen.vmid == 7050]
    assert (vm.name, vm.kind, vm.record, vm.running) == ("nas", MachineKind.LXC, None, True)
    assert VM not in [vm.vmid]


def test_a_lab_of_qemu_guests_says_that_it_has_no_containers(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.server.supervisor.driver = QemuGuests(Path("/nonexistent"), LabNetwork())
    with pytest.raises(HypervisorError) as raised:
        hypervisor.create_container(request(), warn=lab.warnings.append)
    lab.server.supervisor.driver = lab.guests
    assert "start it with --guests container or simulated" in raised.value.details
    assert lab.pve.ct(CT) is None

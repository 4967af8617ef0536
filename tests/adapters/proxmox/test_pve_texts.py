"""Proxmox VE's texts, read: configs, property strings, refusals. As recorded on Proxmox VE 8.4, or of 9's sources."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import (
    AgentNotConfiguredError,
    AgentNotRunningError,
    AuthenticationError,
    HypervisorError,
    PermissionDeniedError,
    TaskFailedError,
    TransientError,
    VmidTakenError,
    VmNotFoundError,
)
from bootstrap.model.ids import PveNodeName
from bootstrap.model.observed import VmRecord
from bootstrap.proxmox import sent_settings as settings
from bootstrap.proxmox.failures import AnswerLostError, PveNodeUnreachableError, from_exit_status, from_status
from bootstrap.proxmox.reading import configs
from bootstrap.proxmox.reading.answers import answer
from bootstrap.proxmox.reading.guest_agent import parse_interfaces

PVE1 = PveNodeName("pve1")
NO_CONFIG = "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist"
LOCK = "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout"
STORAGE_LOCK = "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout"
NO_QUORUM_WRITE = "unable to open file '/etc/pve/nodes/pve1/qemu-server/8104.conf.tmp.42784' - Permission denied"
TAKEN = "unable to create VM 201: config file already exists"


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (401, "No ticket", AuthenticationError),
        (401, "Authentication failed!", AuthenticationError),
        (403, "Permission check failed (/vms/201, VM.Audit)", PermissionDeniedError),
        (403, "Permission check failed (pool 'nope' does not exist)", PermissionDeniedError),
        (500, NO_CONFIG, VmNotFoundError),
        (500, "unable to find configuration file for VM 999 on node 'pve1'", VmNotFoundError),
        (500, TAKEN, VmidTakenError),
        (500, "unable to create VM 201 - CT 201 already exists on node 'pve1'", VmidTakenError),
        (500, LOCK, TransientError),
        (500, "cfs-lock 'storage-nfs' error: got lock request timeout", TransientError),
        (500, "cluster not ready - no quorum?", TransientError),
        (500, NO_QUORUM_WRITE, TransientError),
        (500, "VM is locked (clone)", HypervisorError),
        (500, "No QEMU guest agent configured", AgentNotConfiguredError),
        (500, "QEMU guest agent is not running", AgentNotRunningError),
        (500, "VM 201 is not running", AgentNotRunningError),
        (500, "VM 201 qmp command 'guest-network-get-interfaces' failed - got timeout", AgentNotRunningError),
        (500, "VM 201 qga command 'guest-ping' failed - got timeout", AgentNotRunningError),
        (500, "Agent error: failed to open file '/nope' (mode: 'r'): No such file or directory", AgentNotRunningError),
        (500, "hostname lookup 'nope' failed - failed to get address info for: nope", HypervisorError),
        (501, "Method 'GET /nope' not implemented", HypervisorError),
        (595, "Connection refused", PveNodeUnreachableError),
        (596, "Broken pipe", AnswerLostError),
        (503, "Service Unavailable", TransientError),
        (504, "Gateway Time-out", AnswerLostError),
        (500, "something else", HypervisorError),
    ],
)
def test_an_answer_becomes_the_error_that_says_what_to_do(
    status: int, reason: str, kind: type[HypervisorError]
) -> None:
    error = from_status(status=status, reason=reason, errors={}, what="clone VM 201 on pve1", token="u@pve!t")
    assert type(error) is kind
    assert reason in error.details
    if status != 401:
        assert "clone VM 201 on pve1" in error.brief


def test_a_refused_parameter_is_named() -> None:
    error = from_status(
        status=400,
        reason="Parameter verification failed.",
        errors={"name": "invalid format - value does not look like a valid DNS name\n"},
        what="configure VM 201 on pve1",
        token="u@pve!t",
    )
    assert type(error) is HypervisorError
    assert error.details.splitlines()[0] == "name: invalid format - value does not look like a valid DNS name"


@pytest.mark.parametrize(
    ("exit_status", "kind"),
    [
        (TAKEN, VmidTakenError),
        (NO_CONFIG, VmNotFoundError),
        (LOCK, TransientError),
        (STORAGE_LOCK, TransientError),
        (NO_QUORUM_WRITE, TransientError),
        ("403 Permission check failed (/storage/local, Datastore.AllocateSpace)", PermissionDeniedError),
        ("VM quit/powerdown failed - got timeout", TaskFailedError),
        ("VM is locked (clone)", TaskFailedError),
        ("clone failed: copy failed: interrupted by signal", TaskFailedError),
        ("MAX 2 vcpus allowed per VM on this node", TaskFailedError),
        ("unexpected status", TaskFailedError),
    ],
)
def test_a_task_is_repeated_only_where_it_had_not_begun(exit_status: str, kind: type[HypervisorError]) -> None:
    error = from_exit_status(exit_status=exit_status, log="", what="clone VM 201 on pve1", token="u@pve!t")
    assert type(error) is kind
    assert exit_status in error.details


TEMPLATE: dict[str, Any] = {
    "agent": "1", "boot": "order=scsi0", "ciuser": "debian", "cores": 1, "ide2":
    "local:9000/vm-9000-cloudinit.qcow2,media=cdrom", "memory": "1024", "name": "debian-12-k3s", "net0":
    "virtio=BC:24:11:2F:EB:FE,bridge=vmbr0", "scsi0": "local:9000/base-9000-disk-0.qcow2,size=3G", "scsihw":
    "virtio-scsi-pci", "smbios1": "uuid=EDC6D070-cc5d-4ee7-9832-c98a317f5b8c", "template": 1,
}  # fmt: skip


def template(**changes: object) -> Any:
    config = {key: value for key, value in {**TEMPLATE, **changes}.items() if value is not None}
    row = {"vmid": 9000, "name": "row", "template": 1}
    return configs.template_facts(
        answer(config, what="read"),
        row=answer(row, what="list"),
        pve_node=PVE1,
        kinds={"local": "dir", "thick": "lvm", "zfs": "zfspool"},
    )


@pytest.mark.parametrize(
    ("drive", "linkable"),
    [
        ("local:9000/base-9000-disk-0.qcow2,size=3G", True),
        ("local:101/base-101-disk-0.raw/602/base-602-disk-0.qcow2,size=1G", True),
        ("zfs:base-9000-disk-0,size=3G", True),
        ("unseen:base-9000-disk-0,size=3G", True),
        ("thick:base-9000-disk-0,size=3G", False),
        ("local:9000/vm-9000-disk-0.qcow2,size=3G", False),
        ("local:9000/base-9000-disk-0.qcow2/201/vm-201-disk-0.qcow2,size=3G", False),
        ("/dev/disk/by-id/base-1-2,size=3G", False),
    ],
)
def test_linked_clones_need_base_volumes_on_a_storage_that_can(drive: str, linkable: bool) -> None:
    assert template(scsi0=drive).linkable is linkable


def test_one_drive_that_cannot_be_linked_spoils_it() -> None:
    assert not template(scsi1="thick:base-9000-disk-1,size=1G").linkable
    assert template(ide2="local:iso/debian.iso,media=cdrom").linkable


@pytest.mark.parametrize(
    ("changes", "disk"),
    [
        ({}, "scsi0"),
        ({"boot": "order=ide2;net0;virtio1;scsi0", "virtio1": "local:x,size=1G"}, "virtio1"),
        ({"boot": "cdn", "bootdisk": "sata1", "sata1": "local:x,size=1G"}, "sata1"),
        ({"boot": " "}, "scsi0"),
        ({"boot": None, "scsi0": None, "virtio0": "local:x,size=1G"}, "virtio0"),
        ({"scsi0": None}, None),
    ],
)
def test_the_system_disk_is_the_first_that_is_booted_from(changes: dict[str, object], disk: str | None) -> None:
    assert template(**changes).disk == disk


@pytest.mark.parametrize(
    ("value", "up", "whole"),
    [("3G", 3, 3), ("2252M", 3, 2), ("512K", 1, 0), ("1T", 1024, 1024), ("3221225473", 4, 3), ("", 0, 0), ("?", 0, 0)],
)
def test_sizes_are_rounded_up_for_what_is_needed_and_down_for_what_is_there(value: str, up: int, whole: int) -> None:
    drive = f"local:x,size={value}" if value else "local:x"
    assert (configs.drive_gib(drive), configs.whole_gib(drive)) == (up, whole)


@pytest.mark.parametrize(
    ("value", "enabled"),
    [("1", True), ("enabled=1,fstrim_cloned_disks=1", True), ("1,type=virtio", True), (1, True), ("0", False),
     ("enabled=0", False), ("type=isa", False), (None, False)],
)  # fmt: skip
def test_the_agent_option_is_read(value: object, enabled: bool) -> None:
    assert template(agent=value).agent_enabled is enabled


@pytest.mark.parametrize(
    ("drive", "found"),
    [("local:9000/vm-9000-cloudinit.qcow2,media=cdrom", True), ("lvm:vm-9000-cloudinit,media=cdrom", True),
     ("local:cloudinit", True), ("local:iso/cloudinit-nocloud.iso,media=cdrom", False), ("none,media=cdrom", False)],
)  # fmt: skip
def test_the_cloud_init_drive_is_found(drive: str, found: bool) -> None:
    assert template(ide2=drive).cloud_init_drive == ("ide2" if found else None)


def vm_of(config: dict[str, Any], row: dict[str, Any]) -> VmRecord:
    return configs.vm_record(answer(config, what="read"), row=answer(row, what="list"), pve_node=PVE1)


def test_a_vm_is_read_from_its_config() -> None:
    config = {
        **TEMPLATE, "cores": 2, "sockets": 2, "cpu": "cputype=x86-64-v3,flags=+aes", "memory": "current=2048",
        "lock": "clone", "tags": "a;b", "ipconfig0": "gw=10.0.0.1,ip=10.0.0.5/24", "onboot": 1,
    }  # fmt: skip
    vm = vm_of(config, {"vmid": 7001, "status": "running", "uptime": 7})
    assert (vm.cores, vm.cpu_type, vm.memory_mib, vm.lock) == (4, "x86-64-v3", 2048, "clone")
    assert vm.tags == {"a", "b"}
    assert (str(vm.address), vm.onboot, vm.running, vm.uptime_s) == ("10.0.0.5", True, True, 7)
    assert (vm.mac, vm.smbios_uuid) == ("BC:24:11:2F:EB:FE", "edc6d070-cc5d-4ee7-9832-c98a317f5b8c")


def test_a_bare_config_is_read_too() -> None:
    vm = vm_of({"tags": " "}, {"vmid": 7001, "name": "VM 7001", "status": "stopped"})
    assert (vm.name, vm.cores, vm.memory_mib, vm.tags, vm.disk, vm.mac) == ("VM 7001", 1, 512, frozenset(), None, None)
    assert (vm.address, vm.smbios_uuid, vm.cpu_type, vm.record) == (None, None, None, None)


def test_keys_and_booleans_are_encoded_as_proxmox_wants_them() -> None:
    encoded = settings.encode({"sshkeys": "ssh-ed25519 AA+/= a b\n", "onboot": True, "cores": 2, "name": "x"})
    assert encoded == {"sshkeys": "ssh-ed25519%20AA%2B%2F%3D%20a%20b%0A", "onboot": 1, "cores": 2, "name": "x"}
    assert encoded["onboot"] is not True


@pytest.mark.parametrize(
    ("key", "asked", "stored"),
    [
        ("tags", "zeta, Alpha;beta beta", "alpha;beta;zeta"), ("description", "a\n\n", "a"), ("memory", 2048, "2048"),
        ("memory", 2048, "current=2048"), ("net0", "virtio,bridge=vmbr0", "virtio=BC:24:11:2F:EB:FE,bridge=vmbr0"),
        ("net0", "virtio=bc:24:11:2f:eb:fe,bridge=vmbr0,tag=5", "virtio=BC:24:11:2F:EB:FE,tag=5,bridge=vmbr0"),
        ("onboot", True, 1), ("sshkeys", "ssh-rsa A b\n", "ssh-rsa%20A%20b"), ("cipassword", "x", "**********"),
        ("cpu", "host", "cputype=host"),
    ],
)  # fmt: skip
def test_a_setting_counts_as_kept_in_the_form_proxmox_gives_it(key: str, asked: str | int, stored: object) -> None:
    assert settings.not_kept({key: asked}, {key: stored}) == {}


@pytest.mark.parametrize(
    ("key", "asked", "stored"),
    [("tags", "a;b", "a"), ("description", "a", "b"), ("cores", 2, 1), ("cores", 2, None), ("cores", 2, 22),
     ("net0", "virtio,bridge=vmbr1", "virtio=BC:24:11:2F:EB:FE,bridge=vmbr0"), ("sshkeys", "a b", "a%20c"),
     ("boot", "order=scsi0", "order=scsi0;net0")],
)  # fmt: skip
def test_a_setting_that_is_not_kept_is_told_with_what_is_there(key: str, asked: str | int, stored: object) -> None:
    assert settings.not_kept({key: asked}, {key: stored}) == {key: "nothing" if stored is None else str(stored)}


def test_a_deleted_setting_must_be_gone() -> None:
    assert settings.not_kept({"delete": "ciuser,vga"}, {"vga": "std"}) == {"vga": "std"}


@given(st.text())
def test_no_key_is_lost_on_the_way(key: str) -> None:
    assert settings.not_kept({"sshkeys": key}, {"sshkeys": settings.encode({"sshkeys": key})["sshkeys"]}) == {}


@given(st.dictionaries(st.text("abc=", min_size=1), st.text("0G,=:/;. ", max_size=12) | st.integers()))
def test_no_property_string_breaks_the_reading(config: dict[str, object]) -> None:
    values = list(config.values()) or [""]
    built = {key: values[index % len(values)] for index, key in enumerate(("scsi0", "net0", "agent", "ide2", "boot"))}
    assert template(**built).vmid == 9000


def test_an_error_of_the_guest_agent_itself_is_told() -> None:
    with pytest.raises(AgentNotRunningError, match="disabled"):
        parse_interfaces({"result": {"error": {"desc": "The command is disabled"}}}, what="ask")


def test_addresses_of_both_families_are_told_apart() -> None:
    """The form of a Proxmox VE 8.4's answer; a scope after the address is dropped."""
    rows = [
        {"ip-address": "192.0.2.50", "ip-address-type": "ipv4", "prefix": 24},
        {"ip-address": "fe80::be24:11ff:fe00:1%eth0", "ip-address-type": "ipv6", "prefix": 64},
        {"ip-address": "fd00::50", "ip-address-type": "ipv6", "prefix": 64},
        {"ip-address": "nonsense", "ip-address-type": "ipv6", "prefix": 64},
    ]
    told = {"result": [{"name": "eth0", "hardware-address": "bc:24:11:00:00:01", "ip-addresses": rows}]}
    (eth0,) = parse_interfaces(told, what="ask")
    assert list(map(str, eth0.addresses)) == ["192.0.2.50"]
    assert list(map(str, eth0.addresses6)) == ["fe80::be24:11ff:fe00:1", "fd00::50"]


@pytest.mark.parametrize(
    ("ipconfig", "ip6"),
    [("ip=dhcp,ip6=auto", "auto"), ("ip6=fd00::50/64,gw6=fe80::1,ip=192.0.2.50/24", "fd00::50/64"), ("ip=dhcp", None)],
)
def test_what_a_vm_has_of_ipv6(ipconfig: str, ip6: str | None) -> None:
    assert vm_of({"ipconfig0": ipconfig}, {"vmid": 7000}).ip6 == ip6


@pytest.mark.parametrize(
    ("exit_status", "log", "again"),
    [
        (
            "KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS.",
            "",
            0,
        ),
        ("MAX 2 vcpus allowed per VM on this node", "", 0),
        ("start failed: QEMU exited with code 1", "kvm: Invalid CPU topology: maxcpus must be equal to ...", 0),
        ("start failed: QEMU exited with code 1", "kvm: something else", 1),
        ("can't remove VM 7600 - protection mode enabled", "", 0),
        ("download failed: 404 Not Found", "", 0),
        ("checksum mismatch: got 'ab' != expect 'cd'", "", 0),
        ("403 Permission check failed (/storage/local, Datastore.AllocateSpace)", "", 0),
        (LOCK, "", 1),
        ("clone failed: copy failed: interrupted by signal", "", 1),
    ],
)
def test_running_again_is_advised_only_where_nothing_has_to_be_changed(exit_status: str, log: str, again: int) -> None:
    error = from_exit_status(exit_status=exit_status, log=log, what="start VM 7001 on pve1", token="u@pve!t")
    assert error.again_helps == bool(again)
    assert again or error.resolution


def test_a_value_that_is_refused_now_is_refused_again() -> None:
    error = from_status(status=400, reason="x", errors={"cpu": "no"}, what="configure VM 7001", token="u@pve!t")
    assert not error.again_helps
    assert from_status(status=595, reason="x", errors={}, what="look", token="u@pve!t").again_helps

"""Of a failed task the line that tells why comes first. Texts of Proxmox VE 9.2 as seen, and of its sources."""

from __future__ import annotations

import pytest

from bootstrap.errors import TaskFailedError
from bootstrap.proxmox.failures import from_exit_status, from_status
from bootstrap.proxmox.task_logs import cause_line

QEMU = "start failed: QEMU exited with code 1"
CONVERT = (
    "clone failed: copy failed: command '/usr/bin/qemu-img convert -p -n -f qcow2 -O raw /a /b' failed: exit code 1"
)
NO_SPACE = "qemu-img: error while writing at byte 2147483648: No space left on device"
TOPOLOGY = "kvm: Invalid CPU topology: maxcpus must be equal to or greater than smp: maxcpus (1) < smp_cpus (4)"
NO_KVM = "KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS."


@pytest.mark.parametrize(
    ("exit_status", "log", "told"),
    [
        (QEMU, ["generating cloud-init ISO", TOPOLOGY, f"TASK ERROR: {QEMU}"], TOPOLOGY),
        (QEMU, ["kvm: -net: warning: no peer", "bridge 'vmbr99' does not exist"], "bridge 'vmbr99' does not exist"),
        (
            QEMU,
            ["kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory", "stopping swtpm instance (pid 7)"],
            "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory",
        ),
        (QEMU, ["kvm: -drive file=/x: Could not open '/x': Permission denied"],
         "kvm: -drive file=/x: Could not open '/x': Permission denied"),
        (
            CONVERT,
            ["create full clone of drive scsi0 (local:9000/base-9000-disk-0.qcow2)", "Formatting '/b', fmt=raw size=3",
             "transferred 0.0 B of 3.0 GiB (0.00%)", NO_SPACE, f"TASK ERROR: {CONVERT}"],
            NO_SPACE,
        ),
        (
            CONVERT,
            ["qemu-img: /b: error while converting raw: Could not resize file: Disk quota exceeded",
             "unable to remove /b - it no longer exists"],
            "qemu-img: /b: error while converting raw: Could not resize file: Disk quota exceeded",
        ),
        (QEMU, ["generating cloud-init ISO", f"TASK ERROR: {QEMU}"], QEMU),
        (QEMU, [], QEMU),
        ("bridge 'vmbr99' does not exist", [TOPOLOGY], "bridge 'vmbr99' does not exist"),
        (NO_KVM, ["kvm: something"], NO_KVM),
        ("unexpected status", ["create full clone of drive scsi0 (x)", "transferred 1 B of 3 B"], "unexpected status"),
    ],
)  # fmt: skip
def test_the_line_that_tells_why(exit_status: str, log: list[str], told: str) -> None:
    assert cause_line(log, exit_status=exit_status) == told
    error = from_exit_status(exit_status=exit_status, log="\n".join(log), what="start VM 7001", token="u@pve!t")
    assert error.details.splitlines()[0] == told
    assert exit_status in error.details


@pytest.mark.parametrize(
    ("exit_status", "log", "advice"),
    [
        (NO_KVM, "", "nested virtualisation"),
        (NO_KVM, "", "kvm: 0"),
        (CONVERT, NO_SPACE, "free some space on the storage"),
        (QEMU, TOPOLOGY, "qm set 7001 --delete vcpus"),
        ("VM is locked (backup)", "", "`qm unlock 7001`"),
    ],
)
def test_a_cause_comes_with_its_way_out(exit_status: str, log: str, advice: str) -> None:
    error = from_exit_status(
        exit_status=exit_status, log=log, what="start VM 7001 (demo-cp-1) on pve1", token="u@pve!t"
    )
    assert type(error) is TaskFailedError
    assert advice in error.resolution


def test_a_locked_container_is_unlocked_by_its_own_tool_and_number() -> None:
    error = from_status(
        status=500, reason="CT is locked (create)", errors={}, what="start CT 7002 (demo-light-1) on pve1", token="u"
    )
    assert "`pct unlock 7002`" in error.resolution
    assert "VMID" not in error.resolution

"""The known faults: name, where each strikes, what it does, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int | float


@dataclass(frozen=True)
class FaultKind:
    """A fault by its word.

    Attributes:
        word: Its name.
        where: `guest`, `k3s` or `proxmox`.
        does: What it does, in a sentence.
        values: Its parameters and their defaults; a value's type is its default's.
    """

    word: str
    where: str
    does: str
    values: Mapping[str, Value] = field(default_factory=dict)


_GUEST = (
    FaultKind("agent-silent", "guest", "the guest agent never answers"),
    FaultKind("agent-no-address", "guest", "the guest agent answers, but eth0 has no address"),
    FaultKind(
        "agent-forbids", "guest", "the guest agent reports addresses, but refuses file and exec calls (as RHEL's)"
    ),
    FaultKind("address-changes", "guest", "the address of eth0 changes a few seconds after boot", {"after_s": 5.0}),
    FaultKind("same-machine-id", "guest", "all selected machines have the same machine-id"),
    FaultKind("cloud-init-error", "guest", "cloud-init fails", {"text": "Failed to run module ssh"}),
    FaultKind("cloud-init-hangs", "guest", "cloud-init never ends"),
    FaultKind("ssh-refused", "guest", "sshd does not start"),
    FaultKind("key-refused", "guest", "sshd rejects all keys"),
    FaultKind("other-host-key", "guest", "sshd has another host key than the guest agent reports"),
    FaultKind("upload-cut", "guest", "the connection drops in the middle of an upload", {"after_kib": 32}),
    FaultKind("disk-full", "guest", "no file can be written"),
    FaultKind("sudo-password", "guest", "sudo asks for a password"),
    FaultKind("clock-wrong", "guest", "the guest's clock is off", {"seconds": -86400.0}),
    FaultKind("power-fails", "guest", "the guest powers itself off after running this long", {"after_s": 5.0}),
    FaultKind(
        "reboots",
        "guest",
        "the guest reboots while it runs a script, as with cloud-init's power_state",
        {"during": "install-k3s.sh"},
    ),
)

_K3S = (
    FaultKind("wrong-token", "k3s", "the server refuses the agent's token"),
    FaultKind("ca-mismatch", "k3s", "the server's CA is not the one that the token names"),
    FaultKind("port-taken", "k3s", "another program uses port 6443 of the server"),
    FaultKind("unit-looping", "k3s", "k3s exits at once, and systemd restarts it again and again"),
    FaultKind("dies-when-up", "k3s", "k3s exits this long after reporting that it is up", {"after_s": 3.0}),
    FaultKind("server-unreachable", "k3s", "the agent cannot reach the server"),
    FaultKind("password-rejected", "k3s", "the server rejects the agent's node password"),
    FaultKind(
        "late-ready", "k3s", "an agent's unit stays activating this long after its node is Ready", {"seconds": 283.0}
    ),
    FaultKind("never-ready", "k3s", "the node registers and never becomes Ready"),
    FaultKind("api-503", "k3s", "the server's Kubernetes API answers 503"),
)

_REQUEST = {"method": "", "path": ""}  # both empty: every request
_TASK = {"type": ""}
_WRITTEN = {"written": 0}  # 0: nothing is in the config but the lock, neither name nor description
_MOVE = {**_REQUEST, "to": ""}  # empty: the first other one that is online

QEMU_DIES = "kvm: Invalid CPU topology: maxcpus must be equal to or greater than smp: maxcpus (1) < smp_cpus (4)"

_PROXMOX = (
    FaultKind("api-refused", "proxmox", "nothing listens on the API's port (the proxy restarts)"),
    FaultKind("api-reset", "proxmox", "the connection is reset before the request is carried out", _REQUEST),
    FaultKind(
        "answer-lost", "proxmox", "the request is carried out, and the connection is reset before the answer", _REQUEST
    ),
    FaultKind("answer-cut", "proxmox", "the request is carried out, and only half of the answer arrives", _REQUEST),
    FaultKind("api-595", "proxmox", "595 Connection refused", _REQUEST),
    FaultKind("api-596", "proxmox", "596 Broken pipe", _REQUEST),
    FaultKind("api-500", "proxmox", "500 with the given text", {**_REQUEST, "text": "got timeout"}),
    FaultKind("api-slow", "proxmox", "answers are delayed", {**_REQUEST, "seconds": 5.0}),
    FaultKind("token-revoked", "proxmox", "401 Authentication failed!", _REQUEST),
    FaultKind("forbidden", "proxmox", "the token lacks a privilege on all paths", {"privilege": "VM.Clone"}),
    FaultKind("no-quorum", "proxmox", "the cluster has lost its quorum: reading works, writing does not"),
    FaultKind(
        "pve-node-offline",
        "proxmox",
        "a Proxmox node loses power: its API answers 595 after a few seconds, its guests are off, and "
        "/cluster/resources lists them with status unknown and, after names_for_s, without names; its guests start "
        "again with it",
        {"names_for_s": 300.0},
    ),
    FaultKind("pve-node-unreachable", "proxmox", "as api-595 for one Proxmox node, which still counts as online"),
    FaultKind("pve-node-maintenance", "proxmox", "Proxmox HA has put a Proxmox node into maintenance"),
    FaultKind("ha-managed", "proxmox", "the selected running machines are HA resources while the fault is in force"),
    FaultKind(
        "vm-moved", "proxmox", "another client moves the VM to another Proxmox node right before a request", _MOVE
    ),
    FaultKind(
        "package-version",
        "proxmox",
        "a Proxmox node has a package in this version",
        {"package": "qemu-server", "version": "9.1.10"},
    ),
    FaultKind("bare-403", "proxmox", "403 without a path or privilege", _REQUEST),
    FaultKind("kvm-missing", "proxmox", "the Proxmox nodes' CPUs have no virtualization support, and no VM starts"),
    FaultKind("start-dies", "proxmox", "QEMU exits at once, with the given text in the task log", {"text": QEMU_DIES}),
    FaultKind("paused", "proxmox", "a VM is paused as soon as it has started", {"status": "paused"}),
    FaultKind("pause-stays", "proxmox", "a paused VM is paused again when it is resumed"),
    FaultKind("storage-full", "proxmox", "the storage is full", {"storage": "local"}),
    FaultKind("storage-inactive", "proxmox", "the storage is not active", {"storage": "local"}),
    FaultKind("storage-lock-held", "proxmox", "another task holds the storage's lock", {"storage": "local"}),
    FaultKind("clone-fails", "proxmox", "the clone task fails halfway and cleans up", {"text": "I/O error"}),
    FaultKind(
        "clone-dies",
        "proxmox",
        "the clone task is killed after this many volumes; the VM stays, locked",
        _WRITTEN,
    ),
    FaultKind("task-warnings", "proxmox", "tasks end with WARNINGS: 1", _TASK),
    FaultKind("task-fails", "proxmox", "tasks fail before changing anything", {**_TASK, "text": "unexpected status"}),
    FaultKind("start-fails-running", "proxmox", "the start task fails, though the VM runs", {"text": "got timeout"}),
    FaultKind("vmid-taken", "proxmox", "another client takes the VMID right before the clone", {"on": ""}),
    FaultKind("orphan-volume", "proxmox", "a destroyed VM has left the volume of its cloud-init drive"),
    FaultKind("template-gone", "proxmox", "the template is deleted right before the clone"),
    FaultKind("backup-lock", "proxmox", "a backup locks the VM right after its clone"),
    FaultKind("tags-keep-case", "proxmox", "the cluster's tag-style is case-sensitive"),
    FaultKind(
        "config-changed", "proxmox", "another client changes the VM's tags right before each change of its config"
    ),
)

KINDS = {kind.word: kind for kind in (*_GUEST, *_K3S, *_PROXMOX)}
"""All faults by word."""

SELECTORS = {
    "machine": "machine name, `*` and `?` allowed (default: all machines)",
    "vmid": "VMID",
    "pve_node": "Proxmox node",
    "times": "how often the fault strikes before it ends (default: no limit)",
    "after": "how often it is skipped first",
    "for_s": "real seconds until it ends",
}
"""The parameters that every fault takes besides its own."""

"""The record of a machine in its VM's description: how we find our machines again, with no state file.

The description a user sees in Proxmox's web interface is a sentence and one line of JSON:

    k3s machine of the cluster demo, kept by homelab-k8s. Without the next line it is no longer ours.
    homelab-k8s-record: {"cluster":"demo","machine":"demo-cp-1",...}

Proxmox keeps descriptions but for trailing newlines (PVE 8.4, observed); a user may add text around the line.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Address

from bootstrap.model.ids import ClusterName, MachineName, PoolName, Vmid
from bootstrap.model.machine import MachineRecord, RecordState, Replaced, Role
from bootstrap.model.observed import OWNER_TAG, VmRecord, has_tag

MARK = "homelab-k8s-record:"
FORMAT = 1


def render_record(record: MachineRecord, *, into: str = "") -> str:
    """The description text that holds a record.

    Args:
        record: The record.
        into: The description as it is: what users wrote around the line stays, byte for byte.
    """
    body: dict[str, object] = {
        "format": FORMAT,
        "cluster": record.cluster,
        "machine": record.machine,
        "role": record.role.value,
        "pool": record.pool,
        "vmid": record.vmid,
        "state": record.state.value,
    }
    if record.address is not None:
        body["address"] = str(record.address)
    if record.replaces:
        body["replaces"] = [{"machine": old.machine, "vmid": old.vmid} for old in record.replaces]
    sentence = (
        f"k3s machine of the cluster {record.cluster}, kept by homelab-k8s. Without the next line it is no longer ours."
    )
    line = f"{MARK} {json.dumps(body, separators=(',', ':'))}"
    return with_line(line, mark=MARK, into=into) or f"{sentence}\n{line}"


def with_line(line: str, *, mark: str, into: str) -> str:
    """A description with its first line that begins with `mark` replaced; empty where it has no such line."""
    lines = into.splitlines(keepends=True)
    for number, old in enumerate(lines):
        if old.startswith(mark):
            lines[number] = line + old[len(old.splitlines()[0]) :]
            return "".join(lines)
    return ""


def parse_record(description: str) -> MachineRecord | None:
    """The record in a description, or None where there is none that is whole (a damaged one counts as none)."""
    for line in description.splitlines():
        if line.startswith(MARK):
            return _parse_body(line.removeprefix(MARK))
    return None


def _parse_body(text: str) -> MachineRecord | None:
    try:
        body = json.loads(text)
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            return None
        return MachineRecord(
            cluster=ClusterName(str(body["cluster"])),
            machine=MachineName(str(body["machine"])),
            role=Role(body["role"]),
            pool=PoolName(str(body["pool"])),
            vmid=Vmid(int(body["vmid"])),
            state=RecordState(body["state"]),
            address=IPv4Address(body["address"]) if "address" in body else None,
            replaces=tuple(
                Replaced(machine=MachineName(str(old["machine"])), vmid=Vmid(int(old["vmid"])))
                for old in body.get("replaces", ())
            ),
        )
    except (ValueError, KeyError, TypeError):
        return None


def owner_tags(cluster: ClusterName) -> str:
    """The tags of a cluster's machines, as Proxmox VE keeps them."""
    return ";".join(sorted({OWNER_TAG, cluster}))


def is_ours(vm: VmRecord, cluster: ClusterName) -> bool:
    """Whether a VM is a machine of this cluster, beyond doubt.

    The record must name this cluster, this VM's name and this very vmid (a copy somebody made of our VM has
    our description and tags, but another vmid), and the tag must be there, unless the VM is still as the clone
    request left it (a clone request takes no tags) and so has never been started by us.
    """
    record = vm.record
    if record is None or record.cluster != cluster or record.vmid != vm.vmid or record.machine != vm.name:
        return False
    return has_tag(vm, OWNER_TAG) or (record.state is RecordState.CLONING and not vm.running)

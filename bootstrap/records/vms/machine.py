"""The record of a machine in its VM's description: how we find our machines again, with no state file.

The description a user sees in Proxmox's web interface is a sentence and one line of JSON:

    k3s machine of the cluster demo, managed by homelab-k8s. Without the next line it is no longer recognized.
    homelab-k8s-record: {"cluster":"demo","machine":"demo-cp-1",...,"seal":"5d41402a..."}

Proxmox keeps descriptions but for trailing newlines (docs/proxmox.md#config); a user may add text around the line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address

from bootstrap.errors import HypervisorError, UnreadableError
from bootstrap.model.ids import (
    CLUSTER_NAME_FORM,
    MACHINE_NAME_FORM,
    POOL_NAME_FORM,
    TAG_FORM,
    VMIDS,
    ClusterName,
    MachineName,
    PoolName,
    Vmid,
)
from bootstrap.model.machine import CloneAsked, MachineRecord, RecordState, Replaced, Role
from bootstrap.model.observed import OWNER_TAG, VmRecord, has_tag
from bootstrap.model.reading import LAST_UNIX_S, Reading, Source, read_json
from bootstrap.records.vms.seal import Bearer, RecordKey, RecordKind, render_sealed, text_in

MARK = "homelab-k8s-record:"
FORMAT = 1

_SOURCE = Source(call="read the record in the description", who="it")


def render_record(record: MachineRecord, *, key: RecordKey, identity: str | None, into: str = "") -> str:
    """The description text that holds a record and its seal.

    Args:
        record: The record.
        key: Seals it.
        identity: The VM's (`VmRecord.identity`); None for a clone that is yet to be made.
        into: The description as it is: what users wrote around the line stays, byte for byte.
    """
    kind = RecordKind.CLONE if identity is None else RecordKind.MACHINE
    bearer = Bearer(vmid=record.vmid, name=record.machine, identity=identity or "")
    sentence = (
        f"k3s machine of the cluster {record.cluster}, managed by homelab-k8s. Without the next line it is no longer "
        "recognized."
    )
    return render_sealed(_body(record), kind, key=key, bearer=bearer, mark=MARK, sentence=sentence, into=into)


def _body(record: MachineRecord) -> dict[str, object]:
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
    if record.cloned is not None:
        body["template"], body["asked"] = record.cloned.template, record.cloned.asked_s
    if record.tags:
        body["tags"] = list(record.tags)
    return body


def read_record(description: str) -> MachineRecord | None:
    """The record in a description, or None where there is none.

    Raises:
        UnreadableError: It is damaged, or made up.
    """
    text = text_in(description, mark=MARK)
    return None if text is None else _parse_body(read_json(text, _SOURCE))


def record_or_problem(description: str) -> tuple[MachineRecord | None, str]:
    """The record in a description; or None and what is wrong with it, which is nothing where there is none."""
    try:
        return read_record(description), ""
    except UnreadableError as error:
        return None, f"its record cannot be read: {error.details}"


def _parse_body(body: Reading) -> MachineRecord:
    body.at("format").integer(FORMAT, FORMAT)
    address = body.at("address")
    return MachineRecord(
        cluster=ClusterName(body.at("cluster").word(CLUSTER_NAME_FORM, "a cluster's name")),
        machine=MachineName(body.at("machine").word(MACHINE_NAME_FORM, "a machine's name")),
        role=body.at("role").parsed(Role, "a role"),
        pool=PoolName(body.at("pool").word(POOL_NAME_FORM, "a pool's name")),
        vmid=Vmid(body.at("vmid").integer(*VMIDS)),
        state=body.at("state").parsed(RecordState, "a state"),
        address=None if address.absent else address.parsed(IPv4Address, "an IPv4 address"),
        replaces=tuple(
            Replaced(
                machine=MachineName(old.at("machine").word(MACHINE_NAME_FORM, "a machine's name")),
                vmid=Vmid(old.at("vmid").integer(*VMIDS)),
            )
            for old in body.at("replaces").items(optional=True)
        ),
        cloned=None
        if body.at("template").absent
        else CloneAsked(
            template=Vmid(body.at("template").integer(*VMIDS)), asked_s=body.at("asked").integer(0, LAST_UNIX_S)
        ),
        tags=tuple(tag.word(TAG_FORM, "a tag") for tag in body.at("tags").items(optional=True)),
    )


def owner_tags(cluster: ClusterName, further: Iterable[str] = ()) -> str:
    """The tags of a cluster's machines, with those of the user's choice, as Proxmox VE keeps them."""
    return ";".join(sorted({OWNER_TAG, cluster, *further}))


def identity_of(vm: VmRecord) -> str:
    """The identity that a record on this VM is sealed for.

    Raises:
        HypervisorError: It has no SMBIOS UUID, which Proxmox VE gives to each VM.
    """
    if not vm.identity:
        raise HypervisorError(
            f"{vm.name} (vmid {vm.vmid} on {vm.pve_node}) has no SMBIOS UUID",
            details="smbios1 has no uuid, so it cannot be distinguished from another VM with the same VMID",
            resolution=f"as root on {vm.pve_node}: qm set {vm.vmid} --smbios1 uuid=$(cat /proc/sys/kernel/random/uuid)",
        )
    return vm.identity


def is_ours(vm: VmRecord, cluster: ClusterName) -> bool:
    """Whether a VM is a machine of this cluster, beyond doubt.

    The record decides: it must be authentic (`records.vms.proof`) and name this cluster and this very vmid (a copy
    of our VM has our description and tags, but another vmid). The name and the tags that Proxmox VE shows
    do not: changing them does not make another machine of it. One that is half-made and was started without our
    tag is no longer as we left it, and is not ours.
    """
    record = vm.record
    if vm.doubt or record is None or record.cluster != cluster or record.vmid != vm.vmid:
        return False
    return record.state is not RecordState.CLONING or has_tag(vm, OWNER_TAG) or not vm.running


def lacks_only_a_signature(vm: VmRecord, cluster: ClusterName) -> bool:
    """Whether a VM would be a machine of this cluster if its record were signed.

    Without a signature, name and tag have to be as we leave them: anyone can write such a record.
    """
    record = vm.record
    if record is None or record.machine != vm.name or not is_ours(replace(vm, doubt=""), cluster):
        return False
    return has_tag(vm, OWNER_TAG) or record.state is RecordState.CLONING

"""The marker VM that says who works on a cluster: where it is, what it says, and how it differs from other VMs. Pure.

    Held while homelab-k8s works on the cluster demo. No machine: never started, removed when the work is done.
    homelab-k8s-lock: {"format":1,"cluster":"demo","who":"me@laptop",...,"seal":"5d41402a..."}

See docs/adr/0005-one-holder-at-a-time.md for why it is a VM.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError, UnreadableError
from bootstrap.model.cluster import ClusterSpec, VmidRange
from bootstrap.model.ids import CLUSTER_NAME_FORM, ClusterName, Vmid
from bootstrap.model.observed import OWNER_TAG, VmRecord
from bootstrap.model.reading import Source, read_json
from bootstrap.records.vms.seal import Bearer, RecordKey, RecordKind, body_in, is_sealed, render_sealed, text_in

MARK = "homelab-k8s-lock:"
FORMAT = 1
_SUFFIX = "-lock"
_MOST = 1000
"""Characters of one field."""


@dataclass(frozen=True, kw_only=True)
class LockRecord:
    """Who works on a cluster, as the marker VM's description says it.

    Attributes:
        cluster: What is worked on.
        who: `user@host` of the holder.
        pid: Its process on that host.
        process: What distinguishes that process from all others of its host; empty where that is not known.
        run: Random id of the run.
        command: `up`, `down`, ...
        since: When it began by the holder's clock, such as `2025-03-01 12:00:00 UTC`.
        beat: Grows while the holder lives.
    """

    cluster: ClusterName
    who: str
    pid: int
    process: str
    run: str
    command: str
    since: str
    beat: int = 0

    def __str__(self) -> str:
        """As in ``me@laptop (process 4711), at `up` since 2025-03-01 12:00:00 UTC by its clock``."""
        return f"{self.who} (process {self.pid}), running `{self.command}` since {self.since} by its clock"


def lock_vmid(vmids: VmidRange) -> Vmid:
    """The vmid that all who work on a cluster agree on: the range's last, which no machine gets."""
    return vmids.last


def machine_vmids(vmids: VmidRange) -> range:
    """The vmids machines may have."""
    return range(vmids.first, lock_vmid(vmids))


def marker_name(cluster: ClusterName) -> str:
    """The marker VM's name; no machine has it, since theirs end in a number."""
    return f"{cluster}{_SUFFIX}"


def marker_tags(cluster: ClusterName) -> tuple[str, ...]:
    """The marker VM's tags."""
    return tuple(sorted({OWNER_TAG, cluster}))


def is_marker(vm: VmRecord) -> bool:
    """Whether a VM is the marker of some cluster, beyond doubt: name, tags, its signed record, and no drives."""
    return looks_like_marker(vm) and not vm.doubt and is_sealed(vm.description, mark=MARK)


def looks_like_marker(vm: VmRecord) -> bool:
    """Whether a VM has a marker's name and tags: all that is known of one on a Proxmox node that cannot be asked."""
    cluster = vm.name.removesuffix(_SUFFIX)
    return vm.record is None and vm.name != cluster and {OWNER_TAG, cluster} <= vm.tags


def _is_untagged(vm: VmRecord) -> bool:
    return vm.record is None and vm.name.endswith(_SUFFIX) and not vm.tags and not vm.running


def marker_of(cluster: ClusterName, vms: Iterable[VmRecord]) -> VmRecord | None:
    """The cluster's marker VM among others, or None."""
    return next((vm for vm in vms if is_marker(vm) and vm.name == marker_name(cluster)), None)


def render_lock(record: LockRecord, *, key: RecordKey, bearer: Bearer) -> str:
    """The description text that holds a record and its seal, for a marker VM."""
    body = {"format": FORMAT} | asdict(record)
    sentence = (
        f"Lock of homelab-k8s on the cluster {record.cluster}. Not a machine: never started, removed when the command "
        "ends."
    )
    return render_sealed(body, RecordKind.LOCK, key=key, bearer=bearer, mark=MARK, sentence=sentence, into="")


def doubt_about_lock(
    description: str, *, bearer: Bearer, drives: Collection[object], keys: Callable[[ClusterName], Iterable[RecordKey]]
) -> str:
    """Why what says it is a marker is none, in a few words; empty where it is one, or says nothing of the kind.

    Args:
        description: What the VM says.
        bearer: The VM.
        drives: Its drives: a marker has none, so that no data goes with it.
        keys: The keys that a cluster's lock may be sealed with.
    """
    if body_in(description, mark=MARK) is None:
        return ""
    record = parse_lock(description)
    if record is None:
        return "its lock record cannot be read"
    if drives:
        return "it has drives, and a marker has none"
    if not is_sealed(description, mark=MARK):
        return "its lock record has no signature"
    found = tuple(keys(record.cluster))
    if not found:
        return "this computer has no key of its cluster"
    fits = any(key.fits(RecordKind.LOCK, description, mark=MARK, bearer=bearer) for key in found)
    if not bearer.identity or not fits:
        return "its lock record is not signed with its cluster's key"
    return ""


def parse_lock(description: str) -> LockRecord | None:
    """The record in a description, or None where there is none that is whole."""
    text = text_in(description, mark=MARK)
    if text is None:
        return None
    try:
        body = read_json(text, Source(call="read the lock in the description", who="it"))
        body.at("format").integer(FORMAT, FORMAT)
        return LockRecord(
            cluster=ClusterName(body.at("cluster").word(CLUSTER_NAME_FORM, "a cluster's name")),
            who=body.at("who").text(most=_MOST),
            pid=body.at("pid").integer(0, 2**32),
            process=body.at("process").text(most=_MOST),
            run=body.at("run").text(most=_MOST),
            command=body.at("command").text(most=_MOST),
            since=body.at("since").text(most=_MOST),
            beat=body.at("beat").integer(0, 2**63),
        )
    except UnreadableError:
        return None


def check_lock_place(spec: ClusterSpec, vms: Iterable[VmRecord]) -> None:
    """Refuse where something else than a marker has the marker's vmid.

    A VM without a name is passed over: that is a marker in the making, as Proxmox VE shows it for an instant. So is one
    with a marker's name and no tags yet, as in a resource pool: who takes the lock reads its description.

    Raises:
        PreflightError: Names the VM and what to do.
    """
    vmid = lock_vmid(spec.placement.vmids)
    for vm in vms:
        if vm.vmid == vmid and vm.name and not is_marker(vm) and not _is_untagged(vm):
            raise taken_error(spec, f"VM {vmid} ({vm.name}) on {vm.pve_node} has it", doubt=vm.doubt)


def taken_error(spec: ClusterSpec, who: str, *, doubt: str = "") -> PreflightError:
    """The error for a marker's vmid that belongs to something else; `doubt`: it says it is a marker, and why not."""
    vmids = spec.placement.vmids
    if doubt:
        return PreflightError(
            f"vmid {vmids.last}, the marker VM of {spec.name}, has an invalid lock record",
            details=f"{who}: {doubt}",
            resolution=Advice(
                "if no run is in progress (an earlier release leaves such a marker when it crashes), `homelab-k8s "
                "adopt {}` takes it over. If it is not yours: give that VM another VMID, or change the end of "
                "proxmox.vmids ({}-{})",
                spec.name,
                vmids.first,
                vmids.last,
            ),
        )
    return PreflightError(
        f"vmid {vmids.last}, reserved for the marker VM of {spec.name}, is in use",
        details=f"{who}, and it is not a marker of homelab-k8s",
        resolution=f"the last vmid of proxmox.vmids ({vmids.first}-{vmids.last}) is reserved for the marker: change "
        "the end of the range (on all computers that work on this cluster), or give that VM another VMID",
    )

"""VMs that say they are a cluster's machines, and bear no signature of it: foreign until they are adopted. Pure.

They may be an earlier release's, restored, or another computer's; or a neighbour has written what they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError, few_lines
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import RecordState
from bootstrap.model.observed import OWNER_TAG, VmRecord, has_tag
from bootstrap.model.words import count
from bootstrap.planning.provision.successors import pool_of
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.lock import is_marker, marker_name
from bootstrap.records.vms.machine import lacks_only_a_signature
from bootstrap.records.vms.proof import NOT_IN_POOL


def claims(view: ClusterView) -> tuple[VmRecord, ...]:
    """The VMs that lack nothing but a signature to be machines of the cluster."""
    return tuple(vm for vm in view.observed.vms if is_claim(vm, view.spec))


def is_claim(vm: VmRecord, spec: ClusterSpec) -> bool:
    """Whether a VM would be a machine of the cluster if it were signed."""
    return vm.doubt not in ("", NOT_IN_POOL) and lacks_only_a_signature(vm, spec.name)


def all_foreign(view: ClusterView) -> bool:
    """Whether all VMs that claim to be the cluster's are foreign."""
    return bool(claims(view)) and not view.vms


def check_claims(view: ClusterView, *, missing_key: Path | None = None) -> None:
    """Refuse to make a cluster again beside VMs that may well be its machines.

    Args:
        view: The cluster, as wanted and as seen.
        missing_key: Where the cluster's own SSH key belongs, if it is not there: it signs, and machines know no other.

    Raises:
        PreflightError: All that says it is this cluster's is foreign; nothing was touched.
    """
    if not all_foreign(view):
        return
    found = claims(view)
    doubts = few_lines([f"{vm}: {vm.doubt}" for vm in found])
    name = "if they are not yours: give this cluster another name"
    if missing_key is None:
        raise PreflightError(
            f"{_they_say(len(found), view.spec)}, but none is signed with its key; nothing was changed",
            details=doubts,
            resolution=Advice(
                "if they are yours (created by an earlier release, restored, or with another SSH key): "
                "`homelab-k8s adopt {}`; {}",
                view.spec.name,
                name,
            ),
        )
    raise PreflightError(
        f"{_they_say(len(found), view.spec)}, but the SSH key of {view.spec.name} is not on this computer; "
        "nothing was changed",
        details=f"there is no {missing_key}, and no new one is created: machines would refuse it\n{doubts}",
        resolution=Advice(
            "copy {} from a backup or from the computer that created them, or set the key as ssh.private_key\nif it "
            "is lost: `homelab-k8s adopt {}` creates a new one, signs them with it, and has their guest agents add it"
            "\n{}",
            missing_key,
            view.spec.name,
            name,
        ),
    )


def claim_notes(view: ClusterView) -> Iterator[str]:
    """One line with their number, and the command that takes them over."""
    found = claims(view)
    if found:
        yield Advice(
            "{} and {} foreign, not signed with its key: {}; if they are yours, `homelab-k8s adopt {}` takes them over",
            _they_say(len(found), view.spec),
            "is" if len(found) == 1 else "are",
            ", ".join(map(str, found)),
            view.spec.name,
        )


def _they_say(number: int, spec: ClusterSpec) -> str:
    if number == 1:
        return f"1 VM claims to be a machine of {spec.name}"
    return f"{count(number, 'VM')} claim to be machines of {spec.name}"


def foreign_notes(view: ClusterView) -> tuple[str, ...]:
    """One line for each VM that looks like ours and is not, and for what cannot be read at all.

    Those to adopt share one.
    """
    return (*claim_notes(view), *_left_alone(view), *_unreadable(view))


def foreign_problems(view: ClusterView) -> tuple[str, ...]:
    """The notes that are a problem: all that claims to be the cluster's is foreign, or something cannot be read."""
    return (*(claim_notes(view) if all_foreign(view) else ()), *_unreadable(view))


def foreign_notices(view: ClusterView) -> tuple[str, ...]:
    """The notes that are no problem: whoever may write a VM's notes could make every status fail."""
    return (*(() if all_foreign(view) else claim_notes(view)), *_left_alone(view))


def _left_alone(view: ClusterView) -> Iterator[str]:
    looking = foreign_lookalikes(view)
    odd = [vm for vm in view.observed.vms if vm.problem and vm not in looking and _may_be_ours(vm, view.spec)]
    yield from lookalike_notes(view)
    yield from map(skipped_line, odd)


def _unreadable(view: ClusterView) -> Iterator[str]:
    return (f"ignored: {line}" for line in view.observed.passed_over)


def _may_be_ours(vm: VmRecord, spec: ClusterSpec) -> bool:
    """Whether a VM that cannot be read, or whose record cannot, may be a machine of the cluster."""
    called = not vm.name or pool_of(spec, MachineName(vm.name)) is not None
    return vm.vmid in spec.placement.vmids or spec.name in vm.tags or called


def lookalike_notes(view: ClusterView) -> Iterator[str]:
    """One line for each VM that looks like ours and could not be adopted either."""
    looking = (vm for vm in foreign_lookalikes(view) if not is_claim(vm, view.spec))
    return (f"{vm} is ignored: {why_foreign(vm)}" for vm in looking)


def namesake_notes(view: ClusterView) -> Iterator[str]:
    """One line for each VM without a record that is called as a machine of the cluster's pools would be."""
    for vm in view.observed.vms:
        if vm.record is None and not vm.problem and pool_of(view.spec, MachineName(vm.name)) is not None:
            yield f"{vm} is ignored: {why_foreign(vm)}"


def foreign_lookalikes(view: ClusterView) -> tuple[VmRecord, ...]:
    """VMs that say they are the cluster's, machines or its marker, and are not.

    Neighbours do not count, whatever their names: machines of other clusters (`demo-2-cp-1`), and VMs without a record.
    """
    return tuple(
        vm
        for vm in view.observed.vms
        if vm not in view.vms
        and not is_marker(vm)
        and (vm.name == marker_name(view.spec.name) if vm.record is None else vm.record.cluster == view.spec.name)
    )


def why_foreign(vm: VmRecord) -> str:
    """Why a VM that looks like ours is not ours, in a few words."""
    record = vm.record
    if record is None:
        return vm.problem or vm.doubt or "it has no record of this tool"
    if record.vmid != vm.vmid:
        return f"its record is of vmid {record.vmid}: it is a copy"
    if vm.doubt:
        return _doubt(vm, record.machine)
    if record.state is RecordState.CLONING:
        return "its creation was interrupted, and it was started since"
    return f"it belongs to the cluster {record.cluster}"


def _doubt(vm: VmRecord, recorded: MachineName) -> str:
    """Why the record of a VM is not believed, and what else of it is odd."""
    if recorded != vm.name:
        return f"its record is of {recorded}, and {vm.doubt.removeprefix('its record ')}"
    return vm.doubt if has_tag(vm, OWNER_TAG) else f"{vm.doubt}, and it has no homelab-k8s tag"


def skipped_line(vm: VmRecord) -> str:
    """The line on a VM that cannot be read, or whose record cannot."""
    return f"{vm.name or 'a VM'} (vmid {vm.vmid} on {vm.pve_node}) is skipped: {vm.problem}"

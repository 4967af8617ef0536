"""Whether what a VM's description says of it is to be believed: the one place where that is decided. Pure.

The answer is `VmRecord.doubt`; `is_ours` and `is_marker` go by it. See docs/adr/0001-what-is-ours.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bootstrap.model.ids import ClusterName
from bootstrap.model.machine import MachineRecord, RecordState
from bootstrap.model.observed import VmRecord
from bootstrap.records.vms.lock import doubt_about_lock
from bootstrap.records.vms.machine import MARK
from bootstrap.records.vms.seal import Bearer, RecordKey, RecordKind, is_sealed

UNSEALED = "its record has no signature"
OTHER_KEY = "its record is not signed with this cluster's key"
NO_KEY = "this computer has no key of its cluster"
NOT_OUR_CLONE = "its record is of a clone request, but no clone task of this token matches it"
NOT_IN_POOL = "it is not in the cluster's resource pool"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known beside a VM's own config.

    Attributes:
        key: The key that a cluster's records are sealed with; None where this computer has none.
        lock_keys: The keys that its lock's record may be sealed with.
        is_our_clone: Whether a task of our own token has made a VM whose record is a clone request's, and it has not
            been started since. Asked only of such.
        resource_pool: The resource pool that a cluster's machines have to be in, or None.
    """

    key: Callable[[ClusterName], RecordKey | None]
    lock_keys: Callable[[ClusterName], Iterable[RecordKey]]
    is_our_clone: Callable[[VmRecord], bool]
    resource_pool: Callable[[ClusterName], str | None] = lambda _cluster: None


def doubt_about(vm: VmRecord, evidence: Evidence) -> str:
    """Why the record of a VM is not to be believed, in a few words; empty where it is, and where it has none."""
    record = vm.record
    if record is None:
        bearer = Bearer(vmid=vm.vmid, name=vm.name, identity=vm.identity or "")
        return doubt_about_lock(vm.description, bearer=bearer, drives=(*vm.drives, *vm.unused), keys=evidence.lock_keys)
    key = evidence.key(record.cluster)
    if not is_sealed(vm.description, mark=MARK):
        return UNSEALED
    if key is None:
        return NO_KEY
    # vmid and identity say which VM it is. Its name is the one that the record gives it: it may have been renamed.
    bearer = Bearer(vmid=vm.vmid, name=record.machine, identity=vm.identity or "")
    if vm.identity and key.fits(RecordKind.MACHINE, vm.description, mark=MARK, bearer=bearer):
        return _outside(vm, evidence)
    return _doubt_about_clone(vm, record, key, evidence)


def _doubt_about_clone(vm: VmRecord, record: MachineRecord, key: RecordKey, evidence: Evidence) -> str:
    """Why a record that is not of this very VM is not one of our clone requests' either."""
    unnamed = Bearer(vmid=vm.vmid, name=vm.name, identity="")
    if not key.fits(RecordKind.CLONE, vm.description, mark=MARK, bearer=unnamed):
        return OTHER_KEY
    if record.state is not RecordState.CLONING or vm.running or not evidence.is_our_clone(vm):
        return NOT_OUR_CLONE
    return ""


def _outside(vm: VmRecord, evidence: Evidence) -> str:
    """That a machine is not in its cluster's resource pool; a clone joins it with its last volume."""
    if vm.record is None or vm.record.state is RecordState.CLONING:
        return ""
    pool = evidence.resource_pool(vm.record.cluster)
    return NOT_IN_POOL if pool is not None and vm.resource_pool != pool else ""

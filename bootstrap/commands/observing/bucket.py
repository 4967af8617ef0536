"""What is in the inventory's bucket, as k3s on a server that is Ready finds it. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from bootstrap.commands.observing.guests import logged_in
from bootstrap.errors import HomelabError
from bootstrap.k3s.config import render_bucket
from bootstrap.k3s.snapshot_files import parse_listing
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Observed, Snapshot, VmRecord
from bootstrap.planning.view import ClusterView
from bootstrap.ports import GuestScript, Ports
from bootstrap.records.snapshot_note import has_keys, in_bucket

_LIST_TIMEOUT_S = 75.0
"""A little more than list-bucket.sh takes at the most."""


@dataclass(frozen=True, kw_only=True)
class BucketList:
    """What k3s finds in a bucket, others' among it; and what the user should know, such as that nobody answered.

    Attributes:
        complete: Whether it is all there is; else k3s's records are the best there is.
    """

    snapshots: tuple[Snapshot, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = False


def ready_server(spec: ClusterSpec, observed: Observed) -> tuple[VmRecord, IPv4Address] | None:
    """A server of ours that is Ready, and its address."""
    addresses = dict(observed.addresses)
    view = ClusterView(spec, observed)
    ready = (server.name for server in view.kube_servers if server.ready)
    found = ((view.vm_of[name], addresses[name]) for name in ready if name in view.vm_of and name in addresses)
    return next(found, None)


def bucket_of(spec: ClusterSpec, ports: Ports, observed: Observed) -> BucketList:
    """All that the bucket holds, from its top on.

    k3s's records tell of the folder in the servers' settings alone: snapshots that were taken while those named none,
    or another one, are no more among them.
    """
    s3, server = spec.backup.s3, ready_server(spec, observed)
    if s3 is None or server is None or not _has_etcd(observed, server[0]):
        return BucketList()
    if not has_keys(spec):
        note = "was not read, since its keys are not in the environment; the list comes from k3s's own records"
        return BucketList(notes=(f"the bucket {s3.bucket} {note}",))
    vm, address = server
    machine = vm.record.machine if vm.record else MachineName(vm.name)
    script = GuestScript(
        name="list-bucket.sh", secret_files=(("bucket.yaml", render_bucket(replace(s3, folder=""), machine)),)
    )
    try:
        with logged_in(vm, address, spec, ports) as shell:
            found = parse_listing(shell.run(script, timeout_s=_LIST_TIMEOUT_S))
    except HomelabError as error:
        reason = " ".join((error.details or str(error)).split())
        mend = "check its endpoint, keys and rights (backup.s3 in the inventory)"
        return BucketList(notes=(f"the bucket {s3.bucket} could not be listed: {reason}; {mend}",))
    return BucketList(snapshots=tuple(each for each in found or () if in_bucket(each)), complete=found is not None)


def _has_etcd(observed: Observed, vm: VmRecord) -> bool:
    name = vm.record.machine if vm.record else None
    return any(node.name == name and "etcd" in node.roles for node in observed.kube_nodes or ())

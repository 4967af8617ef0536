"""Lists the inventory's bucket with k3s on a server that is Ready. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bootstrap.commands.observing.guests import Guest, ask, guests_of
from bootstrap.errors import HomelabError
from bootstrap.k3s.config import render_bucket
from bootstrap.k3s.snapshot_files import parse_listing
from bootstrap.model.observed import Snapshot
from bootstrap.planning.view import ClusterView
from bootstrap.ports import GuestScript, Ports
from bootstrap.records.snapshot_note import has_keys, in_bucket

_LIST_TIMEOUT_S = 75.0
"""A little more than list-bucket.sh takes at the most."""


@dataclass(frozen=True, kw_only=True)
class BucketList:
    """What k3s finds in a bucket, snapshots of other clusters too; and notes, such as that it could not be listed.

    Attributes:
        complete: Whether the whole bucket was listed; if not, k3s's own records are all that is known of it.
    """

    snapshots: tuple[Snapshot, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = False


def ready_server(view: ClusterView) -> Guest | None:
    """A server that is Ready and whose address is known."""
    guests = guests_of(view)
    return next((guests[each.name] for each in view.kube_servers if each.ready and each.name in guests), None)


def bucket_of(view: ClusterView, ports: Ports) -> BucketList:
    """All that the bucket holds, from its top on.

    k3s's records know the folder in the servers' settings alone: snapshots that were taken while those named none,
    or another one, are no more among them.
    """
    s3, server = view.spec.backup.s3, ready_server(view)
    if s3 is None or server is None or "etcd" not in view.kube_nodes[server.name].roles:
        return BucketList()
    if not has_keys(view.spec):
        note = "was not read, since its keys are not in the environment; the list comes from k3s's own records"
        return BucketList(notes=(f"the bucket {s3.bucket} {note}",))
    settings = render_bucket(replace(s3, folder=""), server.name)
    script = GuestScript(name="list-bucket.sh", secret_files=(("bucket.yaml", settings),))
    try:
        found = parse_listing(ask(server, script, view.spec, ports, timeout_s=_LIST_TIMEOUT_S))
    except HomelabError as error:
        reason = " ".join((error.details or str(error)).split())
        remedy = "check its endpoint, keys and rights (backup.s3 in the inventory)"
        return BucketList(notes=(f"the bucket {s3.bucket} could not be listed: {reason}; {remedy}",))
    return BucketList(snapshots=tuple(each for each in found or () if in_bucket(each)), complete=found is not None)

"""k3s's own records of snapshots, ETCDSnapshotFile (k3s.cattle.io/v1), as values. Pure."""

from __future__ import annotations

import logging
import re
from datetime import datetime
from decimal import Decimal

from bootstrap.errors import UnreadableError
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Snapshot
from bootstrap.model.reading import Reading, Source, read_json

KIND = "ETCDSnapshotFile"
_QUANTITY = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?)(Ki|Mi|Gi|Ti|k|M|G|T|)")
_UNITS = {"": 1} | {u: 1000**n for n, u in enumerate("kMGT", 1)} | {f"{u}i": 1024**n for n, u in enumerate("KMGT", 1)}
_MOST = 1000
"""Characters of a name."""
logger = logging.getLogger(__name__)

_S3 = "s3"
"""What k3s writes for the node where it does not know which one made a snapshot in S3."""


def parse_snapshots(listing: object) -> tuple[Snapshot, ...]:
    """The records of a list object as values; one of odd form has that as its problem, or is passed over."""
    read = Reading(listing, Source(call="list the snapshots", who="k3s's answer"))
    return tuple(found for item in read.at("items").items(optional=True) if (found := _snapshot(item)) is not None)


def _snapshot(thing: Reading) -> Snapshot | None:
    """An ETCDSnapshotFile (k3s.cattle.io/v1) as a value; None where it has no name."""
    try:
        return _parsed(thing)
    except UnreadableError as error:
        logger.warning("ignored: %s", error)
        name = thing.value.get("spec") if isinstance(thing.value, dict) else None
        told = name.get("snapshotName") if isinstance(name, dict) else None
        if not isinstance(told, str) or not told:
            return None
        return Snapshot(name=told[:_MOST], machine=None, location="", size=0, made=None, problem=error.details)


def _parsed(thing: Reading) -> Snapshot:
    spec, status = thing.at("spec"), thing.at("status")
    machine = spec.at("nodeName").text("")
    problem = status.at("error").at("message").text("")
    if not problem and not status.at("readyToUse").flag():
        problem = "it is not ready to use"
    return Snapshot(
        name=spec.at("snapshotName").text("", most=_MOST),
        machine=MachineName(machine) if machine not in ("", _S3) else None,
        location=spec.at("location").text(""),
        size=_bytes(status.at("size").text("")),
        made=_time(status.at("creationTime").text("")),
        problem=problem,
    )


def _bytes(quantity: str) -> int:
    """A Kubernetes quantity, such as `2891776`, `3M` or `12Ki`; 0 for none."""
    found = _QUANTITY.fullmatch(quantity)
    return int(Decimal(found[1]) * _UNITS[found[2]]) if found else 0


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def parse_listing(text: str) -> tuple[Snapshot, ...] | None:
    """What `k3s etcd-snapshot ls -o json` printed; None where it is no List of records, as before k3s 1.29."""
    try:
        found = read_json(text, Source(call="list the snapshots", who="what k3s printed"))
        records = [item.value for item in found.at("items").items() if item.at("kind").text(KIND) == KIND]
    except UnreadableError:
        return None
    return parse_snapshots({"items": records})

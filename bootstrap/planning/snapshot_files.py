"""k3s's own records of snapshots, ETCDSnapshotFile (k3s.cattle.io/v1), as values. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from bootstrap.model.ids import MachineName
from bootstrap.model.workloads import Snapshot

KIND = "ETCDSnapshotFile"
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T|)")
_UNITS = {"": 1} | {u: 1000**n for n, u in enumerate("kMGT", 1)} | {f"{u}i": 1024**n for n, u in enumerate("KMGT", 1)}
_S3 = "s3"
"""What k3s writes for the node where it does not know which one made a snapshot in S3."""


def parse_snapshot(thing: Mapping[str, Any]) -> Snapshot:
    """An ETCDSnapshotFile (k3s.cattle.io/v1) as a value."""
    spec, status = thing.get("spec") or {}, thing.get("status") or {}
    machine = str(spec.get("nodeName") or "")
    problem = str((status.get("error") or {}).get("message") or "")
    if not problem and not status.get("readyToUse"):
        problem = "it is not ready to use"
    return Snapshot(
        name=str(spec.get("snapshotName", "")),
        machine=MachineName(machine) if machine not in ("", _S3) else None,
        location=str(spec.get("location", "")),
        size=_bytes(status.get("size")),
        made=_time(status.get("creationTime")),
        problem=problem,
    )


def _bytes(quantity: object) -> int:
    """A Kubernetes quantity, such as `2891776`, `3M` or `12Ki`; 0 for none."""
    found = _QUANTITY.fullmatch(str(quantity))
    return int(Decimal(found[1]) * _UNITS[found[2]]) if found else 0


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def parse_listing(text: str) -> tuple[Snapshot, ...] | None:
    """What `k3s etcd-snapshot ls -o json` printed; None where it is no List of records, as before k3s 1.29."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or "items" not in found:
        return None
    records = [item for item in found["items"] or () if isinstance(item, dict) and item.get("kind", KIND) == KIND]
    return tuple(map(parse_snapshot, records))

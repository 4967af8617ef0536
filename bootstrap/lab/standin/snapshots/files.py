"""The format of a snapshot's file."""

from __future__ import annotations

import hashlib
import json

from ..built import VERSION
from ..datastore.store import Store
from ..shapes import Obj

SNAPSHOT_FORMAT = "k3s stand-in etcd snapshot"


def render_snapshot(store: Store) -> bytes:
    content = json.dumps({"format": SNAPSHOT_FORMAT, "version": VERSION, **store.snapshot()}).encode()
    return content + b"\n" + hashlib.sha256(content).hexdigest().encode()


def parse_snapshot(raw: bytes) -> Obj:
    """Raises ValueError for anything but a complete snapshot of the stand-in."""
    content, _, digest = raw.rpartition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("snapshot missing hash but --skip-hash-check=false")
    found: Obj = json.loads(content)
    if found.get("format") != SNAPSHOT_FORMAT:
        raise ValueError("this is not a snapshot of the stand-in")
    return found

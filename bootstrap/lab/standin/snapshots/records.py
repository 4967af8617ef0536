"""ETCDSnapshotFiles: k3s's record of each snapshot, on disk or in a bucket."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

from ..datastore.annotations import ETCD_NOTE
from ..shapes import Obj
from .s3 import S3

FINALIZER = "wrangler.cattle.io/managed-etcd-snapshots-controller"
SHOWN = {"endpoint": "endpoint", "bucket": "bucket", "region": "region", "insecure": "insecure", "folder": "prefix",
         "skipSSLVerify": "skipSSLVerify", "endpointCA": "endpointCA"}  # fmt: skip


def token_hash(token: str) -> str:
    """The hash that k3s stores with a snapshot, to identify its token."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def on_disk(folder: Path, node: str) -> list[Obj]:
    """Every file in a folder, a snapshot of etcd or not."""
    return [
        {"snapshotName": path.name, "nodeName": node, "location": f"file://{path}", "size": path.stat().st_size,
         "created": taken_at(path.name, path.stat().st_mtime)}
        for path in folder.iterdir()
        if path.is_file()
    ]  # fmt: skip


def in_bucket(bucket: S3) -> list[Obj]:
    """Every object whose key begins with the folder's name; nodeName is s3 without metadata."""
    entries = []
    for key in bucket.found():
        about = bucket.about(key)
        name = key.rpartition("/")[2]
        entries.append({
            "snapshotName": name, "nodeName": about.get("x-amz-meta-k3s-node-name", "s3"),
            "location": f"s3://{bucket.bucket}/{key}", "size": int(about["content-length"]),
            "created": taken_at(name, time.time()), "s3": shown(bucket.settings),
            "hash": about.get("x-amz-meta-k3s-token-hash", ""),
        })  # fmt: skip
    return entries


def shown(settings: Obj) -> Obj:
    """A bucket's settings without the secrets."""
    return {word: settings[name] for name, word in SHOWN.items() if settings.get(name)}


def taken_at(name: str, otherwise: float) -> float:
    """When a snapshot was taken: the end of its name says so."""
    found = re.search(r"-(\d{9,11})$", name)
    return float(found[1]) if found else otherwise


def record(entry: Obj, *, listed: bool = False) -> Obj:
    """An ETCDSnapshotFile. Its name is as in k3s: location, file name, and a digest of both.

    `listed`: as `etcd-snapshot ls` has it, which asks no API.
    """
    place = "s3" if "s3" in entry else "local"
    meta: Obj = {
        "name": f"{place}-{re.sub(r'[^-._a-zA-Z0-9]', '_', entry['snapshotName'])}",
        "labels": {ETCD_NOTE + "snapshot-storage-node": "s3" if "s3" in entry else entry["nodeName"]},
    }
    if not listed:
        digest = hashlib.sha256((entry["nodeName"] + entry["location"]).encode()).hexdigest()[:6]
        meta |= {"name": f"{place}-{entry['snapshotName'].lower()}-{digest}", "finalizers": [FINALIZER]}
    if entry.get("hash"):
        meta["annotations"] = {ETCD_NOTE + "snapshot-token-hash": entry["hash"]}
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry["created"]))
    error = {"error": {"message": entry["error"], "time": made}} if entry.get("error") else {}
    return {
        "kind": "ETCDSnapshotFile", "apiVersion": "k3s.cattle.io/v1", "metadata": meta,
        "spec": {name: entry[name] for name in ("snapshotName", "nodeName", "location", "s3") if name in entry},
        "status": {"size": str(entry["size"]), "creationTime": made, **error, "readyToUse": not error},
    }  # fmt: skip

"""The snapshots that one server takes."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from . import process
from .api import Api
from .etcd import Etcd
from .failures import ApiError, status_object
from .files import write_file
from .notes import ETCD_NOTE, SNAPSHOTS_NOTE
from .s3 import S3, s3_settings
from .schedule import cron_next
from .settings import Options
from .shapes import Obj, Reply
from .snapshot_files import render_snapshot
from .telling import log, stamp
from .versions import WHAT_THIS_IS


class Snapshots:
    """The snapshots that one server takes: files, perhaps in a bucket too, and an ETCDSnapshotFile for each."""

    def __init__(self, options: Options, node: str, api: Api) -> None:
        self.options, self.node, self.api, self.store = options, node, api, api.store
        self._lock = threading.Lock()

    def answer(self, data: bytes) -> Reply:
        """What `k3s etcd-snapshot` asks of the server, as k3s's own command does: POST /db/snapshot."""
        if not isinstance(self.api.cluster, Etcd):
            return 400, status_object("Failure", 400, "BadRequest", "etcd datastore disabled")
        request = json.loads(data)
        operations: dict[str, Callable[[Obj], Obj]] = {"save": self.save, "list": self.listing, "delete": self.delete,
                                                       "prune": self.prune}  # fmt: skip
        try:
            return 200, operations[request["operation"]](request)
        except (OSError, ValueError) as error:
            log("warning", f"Error in etcd-snapshot handler: {error}")
            return 500, status_object("Failure", 500, "InternalError", str(error))

    def folder(self, request: Obj) -> Path:
        """Only the default folder is made; any other must be there, as in k3s."""
        given = request.get("dir") or self.options.one("etcd-snapshot-dir")
        if given:
            return Path(self.options.root + given)
        folder = self.options.data / "server/db/snapshots"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def save(self, request: Obj) -> Obj:
        """Take one. Files in excess of the retention go, unless it is 0."""
        if not self._lock.acquire(blocking=False):
            raise ValueError("snapshot save already in progress")
        try:
            base = request["name"][0]
            name = f"{base}-{self.node}-{time.time():.0f}"
            path = self.folder(request) / name
            path.parent.stat()
            log("info", f"Saving etcd snapshot to {path}")
            data = render_snapshot(self.store)
            write_file(path, data)
            result: Obj = {"created": [name], "deleted": self._retain(request, base)}
            if request.get("s3"):
                bucket = S3(request["s3"])
                log("info", f"Uploading snapshot to s3://{bucket.bucket}/{bucket.key(name)}")
                bucket.put(name, data)
                result["created"].append(name)
                log("info", f"S3 upload complete for {name}")
        finally:
            self._lock.release()
        self.reconcile(request)
        return result

    def listing(self, request: Obj) -> Obj:
        items = [self._object(entry) for entry in self._found(request)]
        return {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}

    def delete(self, request: Obj) -> Obj:
        deleted = []
        bucket = S3(request["s3"]) if request.get("s3") else None
        for name in request.get("name") or []:
            if Path(name).name != name:
                raise ValueError("invalid snapshot name: path traversal not allowed")
            path = self.folder(request) / name
            if path.exists():
                path.unlink()
                deleted.append(name)
                log("info", f"Snapshot {name} deleted locally")
            if bucket and bucket.delete(name):
                deleted.append(name)
                log("info", f"Snapshot {name} deleted from S3")
        self.reconcile(request)
        return {"deleted": deleted}

    def prune(self, request: Obj) -> Obj:
        result = {"deleted": self._retain(request, request["name"][0])}
        self.reconcile(request)
        return result

    def _retain(self, request: Obj, base: str) -> list[str]:
        keep = int(request.get("retention", self.options.one("etcd-snapshot-retention", "5")))
        mine = [e for e in self._found({**request, "s3": None}) if e["snapshotName"].startswith(f"{base}-{self.node}-")]
        surplus = sorted(mine, key=lambda entry: -entry["created"])[keep:] if keep else []
        for entry in surplus:
            log("info", f"Removing local snapshot {entry['location'].removeprefix('file://')}")
            Path(entry["location"].removeprefix("file://")).unlink()
        deleted = [entry["snapshotName"] for entry in surplus]
        if request.get("s3") and keep:
            bucket = S3(request["s3"])
            names = [name for name in bucket.names() if name.startswith(f"{base}-{self.node}-")]
            for name in sorted(names, key=lambda name: -taken_at(name, 0))[int(request["s3"].get("retention", keep)) :]:
                bucket.delete(name)
                deleted.append(name)
        return deleted

    def _found(self, request: Obj) -> list[Obj]:
        """What is on disk and in the bucket, oldest first."""
        entries: list[Obj] = []
        for path in self.folder(request).iterdir():
            if path.is_file() and not path.name.startswith("."):
                about = path.stat()
                entries.append({"snapshotName": path.name, "nodeName": self.node, "location": f"file://{path}",
                                "size": about.st_size, "created": taken_at(path.name, about.st_mtime)})  # fmt: skip
        if request.get("s3"):
            bucket = S3(request["s3"])
            shown = {name: bucket.settings[name] for name in ("endpoint", "bucket", "region", "insecure")
                     if name in bucket.settings} | ({"prefix": bucket.folder} if bucket.folder else {})  # fmt: skip
            for name, size in bucket.names().items():
                where = f"s3://{bucket.bucket}/{bucket.key(name)}"
                owner = re.sub(r"^.*?-([a-z0-9.-]+)-\d+$", r"\1", name) if self.node not in name else self.node
                entries.append({"snapshotName": name, "nodeName": owner, "location": where, "size": size,
                                "created": taken_at(name, 0), "s3": shown})  # fmt: skip
        return sorted(entries, key=lambda entry: (entry["created"], entry["location"]))

    def _object(self, entry: Obj) -> Obj:
        """An ETCDSnapshotFile. Its name is k3s's: where it lies, the file's name, and a digest of both."""
        digest = hashlib.sha256((entry["nodeName"] + entry["location"]).encode()).hexdigest()[:6]
        place = "s3" if "s3" in entry else "local"
        spec = {name: entry[name] for name in ("snapshotName", "nodeName", "location", "s3") if name in entry}
        boot = self.store.get("_bootstrap", "", "bootstrap") or {}
        notes = {ETCD_NOTE + "snapshot-token-hash": hashlib.sha256(boot.get("token", "").encode()).hexdigest()[:12]}
        labels = {ETCD_NOTE + "snapshot-storage-node": "s3" if "s3" in entry else entry["nodeName"]}
        name = f"{place}-{entry['snapshotName'].lower()}-{digest}"
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry["created"]))
        return {"kind": "ETCDSnapshotFile", "apiVersion": "k3s.cattle.io/v1",
                "metadata": {"name": name, "labels": labels, "annotations": notes}, "spec": spec,
                "status": {"creationTime": made, "readyToUse": True, "size": str(entry["size"])}}  # fmt: skip

    def reconcile(self, request: Obj) -> None:
        """Have an object for each snapshot of this server's and of the bucket, and none for those that are gone."""
        base = "/apis/k3s.cattle.io/v1/etcdsnapshotfiles"
        wanted = {item["metadata"]["name"]: item for item in (self._object(e) for e in self._found(request))}
        places = {self.node} | ({"s3"} if request.get("s3") else set())
        known = set()
        for old in self.store.all("etcdsnapshotfiles"):
            meta = old["metadata"]
            known.add(meta["name"])
            if meta["name"] not in wanted and meta["labels"].get(ETCD_NOTE + "snapshot-storage-node") in places:
                self.api.call("DELETE", f"{base}/{meta['name']}")
        for name, item in wanted.items():
            if name not in known:
                self.api.call("POST", base, item)
        notes = {"metadata": {"annotations": {ETCD_NOTE + SNAPSHOTS_NOTE: stamp()}}}
        self.api.call("PATCH", f"/api/v1/nodes/{self.node}", notes, "application/merge-patch+json")

    def run(self) -> NoReturn:
        """Take the scheduled ones."""
        if self.options.on("etcd-snapshot-compress"):
            log("warning", f"the {WHAT_THIS_IS} does not compress its snapshots")
        schedule = self.options.one("etcd-snapshot-schedule-cron", "0 */12 * * *")
        base = self.options.one("etcd-snapshot-name", "etcd-snapshot")
        request = {"name": [base], "s3": s3_settings(self.options)}
        while True:
            due = cron_next(schedule, time.time())
            while (left_s := due - time.time()) > 0:
                process.LIFE.pause(min(left_s, 30))
            try:
                self.save(request)
            except (OSError, ValueError, ApiError) as error:
                log("error", f"Failed to take etcd snapshot: {error}")


def taken_at(name: str, otherwise: float) -> float:
    """When a snapshot was taken: the end of its name says so."""
    found = re.search(r"-(\d{9,11})$", name)
    return float(found[1]) if found else otherwise

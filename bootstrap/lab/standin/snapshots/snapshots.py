"""The snapshots that one server takes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from .. import process
from ..api.api import Api
from ..datastore.annotations import ETCD_NOTE, SNAPSHOTS_NOTE
from ..datastore.etcd import Etcd
from ..failures import ApiError, status_object
from ..files import write_file
from ..logs import log, stamp
from ..settings.options import Options
from ..shapes import Obj, Reply
from ..versions import WHAT_THIS_IS
from .files import render_snapshot
from .records import in_bucket, on_disk, record, shown, taken_at, token_hash
from .s3 import S3, s3_settings
from .schedule import cron_next

RECORDS = "/apis/k3s.cattle.io/v1/etcdsnapshotfiles"


class Snapshots:
    """The snapshots that one server takes: files, optionally also in a bucket, and an ETCDSnapshotFile for each."""

    def __init__(self, options: Options, node: str, api: Api) -> None:
        self.options, self.node, self.api, self.store = options, node, api, api.store
        self._lock = threading.Lock()

    def answer(self, data: bytes) -> Reply:
        """What `k3s etcd-snapshot` asks of the server, as k3s's own command does: POST /db/snapshot.

        With a bucket in the settings nothing is done before the bucket has answered, not even on disk.
        """
        if not isinstance(self.api.cluster, Etcd):
            return 400, status_object("Failure", 400, "BadRequest", "etcd datastore disabled")
        request = json.loads(data)
        operations: dict[str, Callable[[Obj], Obj]] = {"save": self.save, "list": self.listing, "delete": self.delete,
                                                       "prune": self.prune}  # fmt: skip
        try:
            if request.get("s3"):
                S3(request["s3"])
        except ValueError as error:
            return 400, status_object("Failure", 400, "BadRequest", str(error))
        try:
            return 200, operations[request["operation"]](request)
        except (OSError, ValueError) as error:
            log("warning", f"Error in etcd-snapshot handler: {error}")
            return 500, status_object("Failure", 500, "InternalError", str(error))

    def folder(self, request: Obj) -> Path:
        """Only the default folder is created; any other must exist, as in k3s."""
        given = request.get("dir") or self.options.one("etcd-snapshot-dir")
        if given:
            return Path(self.options.root + given)
        folder = self.options.data / "server/db/snapshots"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def save(self, request: Obj) -> Obj:
        """Take a snapshot, and delete those beyond the retention, unless that is 0. A refused upload only shows in a
        record."""
        if not self._lock.acquire(blocking=False):
            raise ValueError("snapshot save already in progress")
        try:
            base = request["name"][0]
            name = f"{base}-{self.node}-{time.time():.0f}"
            path = self.folder(request) / name
            path.parent.stat()
            log("info", f"Saving etcd snapshot to {path}")
            write_file(path, render_snapshot(self.store))
            entry = {"snapshotName": name, "nodeName": self.node, "location": f"file://{path}",
                     "size": path.stat().st_size, "created": taken_at(name, 0), "hash": self._token_hash()}  # fmt: skip
            self._write_down(record(entry))
            result: Obj = {"created": [name], "deleted": self._retain(request, base)}
            if request.get("s3"):
                more = self._upload(request["s3"], entry, path, base)
                result = {kind: [*names, *more[kind]] for kind, names in result.items()}
        finally:
            self._lock.release()
        self.reconcile(request)
        return result

    def _upload(self, settings: Obj, entry: Obj, path: Path, base: str) -> Obj:
        """Upload to the bucket, and delete old ones there, even if the upload was refused."""
        name, failed = path.name, {**entry, "s3": shown(settings), "size": 0, "hash": ""}
        try:
            bucket = S3(settings)
        except ValueError as error:
            log("warning", f"Unable to initialize S3 client: {error}")
            self._write_down(record({**failed, "nodeName": "s3", "location": "", "error": str(error)}))
            return {"created": [], "deleted": []}
        place = f"s3://{bucket.bucket}/{bucket.key(name)}"
        log("info", f"Saving etcd snapshot {name} to S3")
        log("info", f"Uploading snapshot to {place}")
        try:
            bucket.put(name, path.read_bytes(), node=self.node, token_hash=entry["hash"])
        except ValueError as error:
            log("error", f"Error received during snapshot upload to S3: {error}")
            self._write_down(record({**failed, "location": place, "error": str(error)}))
            return {"created": [], "deleted": self._retain_in_bucket(bucket, base)}
        log("info", f"S3 upload complete for {name}")
        self._write_down(record({**entry, "s3": shown(settings), "location": place}))
        return {"created": [name], "deleted": self._retain_in_bucket(bucket, base)}

    def _token_hash(self) -> str:
        return token_hash((self.store.get("_bootstrap", "", "bootstrap") or {}).get("token", ""))

    def listing(self, request: Obj) -> Obj:
        items = [record(entry, listed=True) for entry in self._found(request)]
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
        base = request["name"][0]
        result = {"deleted": self._retain(request, base)}
        if request.get("s3"):
            result["deleted"] += self._retain_in_bucket(S3(request["s3"]), base)
        self.reconcile(request)
        return result

    def _retain(self, request: Obj, base: str) -> list[str]:
        """Delete old local snapshots; only the prefix of a name counts."""
        keep = int(request.get("retention", self.options.one("etcd-snapshot-retention", "5")))
        mine = [entry for entry in on_disk(self.folder(request), self.node) if entry["snapshotName"].startswith(base)]
        surplus = sorted(mine, key=lambda entry: -entry["created"])[keep:] if keep else []
        for entry in surplus:
            log("info", f"Removing local snapshot {entry['location'].removeprefix('file://')}")
            Path(entry["location"].removeprefix("file://")).unlink()
        return [entry["snapshotName"] for entry in surplus]

    def _retain_in_bucket(self, bucket: S3, base: str) -> list[str]:
        """Delete old snapshots in the bucket by prefix, those of all servers and clusters; the newest are kept."""
        keep = int(bucket.settings.get("retention", 0))
        names = [key.rpartition("/")[2] for key in bucket.found(bucket.key(base))]
        surplus = names[: max(0, len(names) - keep)] if keep else []
        for name in surplus:
            log("info", f"Removing S3 snapshot: s3://{bucket.bucket}/{bucket.key(name)}")
            bucket.delete(name)
        return surplus

    def _found(self, request: Obj) -> list[Obj]:
        """The snapshots on disk and in the bucket, oldest first."""
        entries = on_disk(self.folder(request), self.node)
        if request.get("s3"):
            entries += in_bucket(S3(request["s3"]))
        return sorted(entries, key=lambda entry: (entry["created"], entry["snapshotName"], entry["location"]))

    def reconcile(self, request: Obj) -> None:
        """Keep an object for each snapshot of this server and of the bucket, and delete the others. k3s keeps
        records of failures for a day, the stand-in without limit.
        """
        wanted = {item["metadata"]["name"]: item for item in map(record, self._found(request))}
        places = {self.node} | ({"s3"} if request.get("s3") else set())
        known = set()
        for old in self.store.all("etcdsnapshotfiles"):
            meta = old["metadata"]
            known.add(meta["name"])
            gone = meta["name"] not in wanted and "error" not in old["status"]
            if gone and meta["labels"].get(ETCD_NOTE + "snapshot-storage-node") in places:
                self.api.call("DELETE", f"{RECORDS}/{meta['name']}")
        for name, item in wanted.items():
            if name not in known:
                self._write_down(item)
        notes = {"metadata": {"annotations": {ETCD_NOTE + SNAPSHOTS_NOTE: stamp()}}}
        self.api.call("PATCH", f"/api/v1/nodes/{self.node}", notes, "application/merge-patch+json")

    def _write_down(self, item: Obj) -> None:
        self.api.call("POST", RECORDS, item)

    def run(self) -> NoReturn:
        """Record the existing snapshots, and take the scheduled ones."""
        if self.options.on("etcd-snapshot-compress"):
            log("warning", f"the {WHAT_THIS_IS} does not compress its snapshots")
        schedule = self.options.one("etcd-snapshot-schedule-cron", "0 */12 * * *")
        base = self.options.one("etcd-snapshot-name", "etcd-snapshot")
        request = {"name": [base], "s3": s3_settings(self.options)}
        try:
            self.reconcile(request)
        except (OSError, ValueError, ApiError) as error:
            log("error", f"Failed to record snapshots for cluster: {error}")
        while True:
            due = cron_next(schedule, time.time())
            while (left_s := due - time.time()) > 0:
                process.LIFE.pause(min(left_s, 30))
            try:
                self.save(request)
            except (OSError, ValueError, ApiError) as error:
                log("error", f"Failed to take etcd snapshot: {error}")

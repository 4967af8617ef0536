"""Effects of the guest scripts that take, list and remove snapshots, on a server's disk and in a bucket."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from bootstrap.lab.simulated.disk import sha256_of
from bootstrap.lab.simulated.machine import k3s
from bootstrap.lab.simulated.machine.calls import Call, Effect, Outcome

DB = f"{k3s.SERVER_DATA}/db"
SNAPSHOTS = f"{DB}/snapshots"
TLS = f"{k3s.SERVER_DATA}/tls"
_DIRECTORIES = 0o700
_NO_BUCKET = "the settings of this server name no bucket, and the bucket's keys were not sent"
_NO_REASON = "k3s gives no reason here"


async def snapshot(call: Call) -> Outcome:
    """snapshot.sh."""
    guest, disk = call.guest, call.guest.disk
    etcd = disk.path(f"{DB}/etcd").is_dir()
    try:
        name, sent = await asyncio.to_thread(_save_etcd if etcd else _save_sqlite, call)
    except (OSError, sqlite3.Error, ValueError) as error:
        return Outcome(1, err=f"{error}\n")
    finally:
        (call.directory / "snapshot.yaml").unlink(missing_ok=True)
    file = disk.path(f"{SNAPSHOTS}/{name}")
    if call.env["FETCH"] == "1":
        shutil.copyfile(file, call.directory / "snapshot.out")
    values = {
        "name": name,
        "kind": "etcd" if etcd else "sqlite",
        "size": file.stat().st_size,
        "sha256": sha256_of(file),
        "time": int(file.stat().st_mtime),
        "version": k3s.program_of(guest).version,
        "ca": sha256_of(disk.path(f"{TLS}/server-ca.crt")),
        "bucket": sent,
    }
    return Outcome(out="".join(f"{key}={value}\n" for key, value in values.items()))


def _save_etcd(call: Call) -> tuple[str, str]:
    """The snapshot's name, and what became of it in the bucket. Raises ValueError."""
    problem = ""
    if call.env["BUCKET"] != "no":
        bucket = _bucket(call, "snapshot.yaml")
        status, answer = _ask(call, "save", [call.env["NAME"]], bucket) if bucket else (400, {"message": _NO_BUCKET})
        if status == 200:
            problem = f"failed\nbucket_problem={_NO_REASON}"
            return str(answer["created"][0]), "sent" if len(answer["created"]) > 1 else problem
        if call.env["BUCKET"] == "must":
            raise ValueError(f"k3s could not take the snapshot for the bucket: {answer['message']}")
        problem = f"failed\nbucket_problem={answer['message']}"
    status, answer = _ask(call, "save", [call.env["NAME"]], None)
    if status != 200:
        raise ValueError(f"k3s could not take the snapshot: {answer.get('message')}")
    return str(answer["created"][0]), problem or "none"


def _bucket(call: Call, sent: str) -> dict[str, Any] | None:
    """How to reach the bucket: by the settings that were sent, else by the server's; None without one.

    As the script has it, with `etcd-s3-retention: 0`: k3s would prune by a snapshot's name alone.
    """
    guest, file = call.guest, call.directory / sent
    config = file if file.exists() else guest.disk.path(k3s.CONFIG)
    module = k3s.program_of(guest).shared
    options = module.Options("server", ["--config", str(config)], root=str(guest.disk.root), environ={})
    found: dict[str, Any] | None = module.s3_settings(options)
    return found and {**found, "retention": 0}


def _ask(call: Call, operation: str, names: list[str], bucket: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
    """What `k3s etcd-snapshot` asks of the server."""
    request = {"operation": operation, "name": names, "retention": 0, **({"s3": bucket} if bucket else {})}
    status, answer = k3s.serving(call.guest).snapshots.answer(json.dumps(request).encode())[:2]
    return status, answer


def _save_sqlite(call: Call) -> tuple[str, str]:
    if call.env["BUCKET"] == "must":
        raise ValueError("this server keeps its data in sqlite: k3s sends only etcd's snapshots to buckets")
    disk = call.guest.disk
    name = f"{call.env['NAME']}-{call.env['NODE']}-{int(call.guest.now())}.sqlite"
    target = disk.path(f"{SNAPSHOTS}/{name}")
    target.parent.mkdir(parents=True, exist_ok=True, mode=_DIRECTORIES)
    source: Path = disk.path(f"{DB}/state.db")
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as origin,
        closing(sqlite3.connect(target)) as copy,
    ):
        origin.backup(copy)
    return name, "none"


async def drop_snapshot_copy(call: Call) -> Outcome:
    """drop-snapshot-copy.sh."""
    (call.directory / "snapshot.out").unlink(missing_ok=True)
    return Outcome()


async def list_snapshots(call: Call) -> Outcome:
    """list-snapshots.sh."""
    disk = call.guest.disk
    lines = [f"etcd={int(disk.path(f'{DB}/etcd').is_dir())}\n"]
    folder = disk.path(SNAPSHOTS)
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        lines.append(f"snapshot={file.stat().st_size} {int(file.stat().st_mtime)} {file.name}\n")
    return Outcome(out="".join(lines))


async def drop_snapshots(call: Call) -> Outcome:
    """drop-snapshots.sh."""
    try:
        names = call.env["NAMES"].split()
        for name in names:
            call.guest.disk.path(f"{SNAPSHOTS}/{name}").unlink(missing_ok=True)
        etcd = [name for name in names if not name.endswith(".sqlite")]
        if call.env["BUCKET"] != "yes" or not etcd:
            return Outcome()
        return await asyncio.to_thread(_told, call, "delete", etcd, "snapshot.yaml")
    finally:
        (call.directory / "snapshot.yaml").unlink(missing_ok=True)


async def list_bucket(call: Call) -> Outcome:
    """list-bucket.sh."""
    try:
        return await asyncio.to_thread(_told, call, "list", ["on-demand"], "bucket.yaml")
    finally:
        (call.directory / "bucket.yaml").unlink(missing_ok=True)


def _told(call: Call, operation: str, names: list[str], settings: str) -> Outcome:
    """k3s's answer about what is on this disk and in the bucket."""
    try:
        status, answer = _ask(call, operation, names, _bucket(call, settings))
    except OSError as error:
        return Outcome(1, err=f"{error}\n")
    return Outcome(out=json.dumps(answer)) if status == 200 else Outcome(1, err=f"{answer.get('message')}\n")


EFFECTS: dict[str, Effect] = {
    "drop-snapshot-copy.sh": drop_snapshot_copy,
    "drop-snapshots.sh": drop_snapshots,
    "list-bucket.sh": list_bucket,
    "list-snapshots.sh": list_snapshots,
    "snapshot.sh": snapshot,
}
"""The scripts of this module, by file name."""

"""k3s server --cluster-reset."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from ..built import VERSION
from ..datastore.store import Store, number
from ..files import write_file
from ..logs import Fatal, log
from ..shapes import Edit, Obj
from ..snapshots.files import parse_snapshot
from ..snapshots.s3 import S3, s3_settings
from ..versions import refuse_downgrade
from .bootstrap import Bootstrap
from .credentials import Credentials
from .membership import Membership
from .settings import ServerSettings


def reset_cluster(settings: ServerSettings, restore: str) -> None:
    """Make this server the only member of etcd, with its own data or a snapshot's."""
    prefix = "starting kubernetes: preparing server"
    if settings.join_url:
        raise Fatal("Error: cannot perform cluster-reset while server URL is set - remove server from "
                    "configuration before resetting")  # fmt: skip
    if settings.reset_flag.exists() and not restore:
        raise Fatal(f"{prefix}: Managed etcd cluster membership was previously reset, please remove the "
                    "cluster-reset flag and start k3s normally. If you need to perform another cluster reset, you "
                    f"must first manually delete the file at {settings.reset_flag}")  # fmt: skip
    address = settings.machine.addresses[0]
    with contextlib.closing(socket.socket()) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, 2380))
        except OSError as error:
            text = f"listen tcp {address}:2380: bind: {(error.strerror or '').lower()}"
            raise Fatal(f"{prefix}: start managed database: {text}") from error
    token = Credentials(settings).token(resetting=True)
    member = settings.data / "db/etcd/member/state.db"
    if restore:
        found = fetch_snapshot(settings, restore)
        settings.set_aside()
        store = Store(member)
        store.load(found)
    elif not settings.has_etcd:
        raise Fatal(f"{prefix}: etcd database not found in {settings.data}")
    else:
        store = Store(member)
    write_file(settings.reset_flag, "")
    Bootstrap(settings, store).adopt(token, resetting=True)
    membership = Membership(settings)
    membership.name_file.unlink(missing_ok=True)
    (settings.data / "db/etcd/tombstone").unlink(missing_ok=True)
    me = membership.member()
    gone: list[Edit] = [("_members", "", m["id"], None) for m in store.all("_members")]
    edits: list[Edit] = [*gone, ("_members", "", me["id"], me)]
    store.put(number(edits, store.rev), store.rev + len(edits), store.term + 1)
    store.note("version", VERSION)
    write_file(settings.joined, "")
    store.close()
    log("info", "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. Backup "
                "and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes")  # fmt: skip


def fetch_snapshot(settings: ServerSettings, restore: str) -> Obj:
    """Read the snapshot to restore; with S3 from the bucket, by name without a folder."""
    prefix = "starting kubernetes: preparing server: start managed database"
    path, bucket = Path(restore), s3_settings(settings.options)
    try:
        if bucket:
            log("info", f"Retrieving etcd snapshot {restore} from S3")
            path = settings.data / "db/snapshots" / path.name
            write_file(path, S3(bucket).get(path.name))
            log("info", f"S3 download complete for {path}")
        if not path.exists():
            raise Fatal(f"{prefix}: etcd: snapshot path does not exist: {path}")
        if path.is_dir():
            raise Fatal(f"{prefix}: etcd: snapshot path must be a file, not a directory: {path}")
        found = parse_snapshot(path.read_bytes())
    except ValueError as error:
        raise Fatal(f"{prefix}: {error}") from error
    refuse_downgrade(found["version"], f"the snapshot {path}")
    return found

"""Snapshots by their names and by the notes that lie beside them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError, UnreadableError
from bootstrap.model.cluster import ClusterSpec, S3Spec
from bootstrap.model.ids import ClusterName, MachineName
from bootstrap.model.observed import Snapshot
from bootstrap.model.reading import LAST_UNIX_S, Source, read_json

LATEST = "latest"
"""Stands for the newest snapshot there is."""

SQLITE = ".sqlite"
"""How a copy of sqlite's database ends; anything else is etcd's."""

NOTE = ".json"
TOKEN = ".token"  # noqa: S105 - a file's ending
FORMAT = 1

ON_SERVER = "file:///var/lib/rancher/k3s/server/db/snapshots/"

SCHEDULED = "etcd-snapshot"
"""How the names of those begin that k3s takes on its schedule; it removes old ones of whatever begins so."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_TAIL = r"-(?P<made>[0-9]{9,11})(?:\.sqlite|\.zip)?"
_MADE = re.compile(_TAIL)
_LISTED = re.compile(r"(?P<size>[0-9]{1,15}) (?P<written_s>[0-9]{1,11}) (?P<name>.*)", re.ASCII | re.DOTALL)
_MOST = 256
"""Characters of one field of a note."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
_KEY = re.compile(r"[!#-&(-\[\]-_a-~]{1,256}", re.ASCII)
_VERSION = re.compile(r"v[0-9A-Za-z.+-]{1,60}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SnapshotNote:
    """What is written beside a snapshot that was fetched, so that a restore can check it.

    Attributes:
        made_s: Unix seconds.
        size: In bytes.
        sha256: Of the file, lower-case hex.
        ca: SHA-256 of the server CA's file, which is another one for each cluster's certificates.
    """

    name: str
    cluster: str
    server: str
    k3s_version: str
    made_s: int
    size: int
    sha256: str
    ca: str


def render_note(note: SnapshotNote) -> str:
    """As JSON."""
    return json.dumps({"format": FORMAT} | asdict(note), indent=2) + "\n"


def parse_note(text: str) -> SnapshotNote | None:
    """Read it back; None for what is no note of this format."""
    try:
        found = read_json(text, Source(call="read the note of a snapshot", who="it"))
        found.at("format").integer(FORMAT, FORMAT)
        return SnapshotNote(
            name=found.at("name").word(_FILE.pattern, "a file's name"),
            cluster=found.at("cluster").text(most=_MOST),
            server=found.at("server").text(most=_MOST),
            k3s_version=found.at("k3s_version").text(most=_MOST),
            made_s=found.at("made_s").integer(0, LAST_UNIX_S),
            size=found.at("size").integer(0, 2**63),
            sha256=found.at("sha256").text(most=_MOST),
            ca=found.at("ca").text(most=_MOST),
        )
    except UnreadableError:
        return None


def check_prefix(name: str) -> None:
    """Raise PreflightError for what k3s or a file system would not take as a snapshot's name."""
    if not _NAME.fullmatch(name) or name == LATEST:
        raise PreflightError(
            f"{name!r} cannot name a snapshot",
            details="lower-case letters, digits, '.' and '-', at most 40, with a letter or digit at both ends",
            resolution="such as --name before-upgrade",
        )
    if name.startswith(SCHEDULED):
        raise PreflightError(
            f"{name!r} cannot name a snapshot",
            details=f"k3s would treat it as a scheduled snapshot and remove it: their names begin with {SCHEDULED}",
            resolution="such as --name before-upgrade",
        )


def is_file_name(name: str) -> bool:
    """Whether a text can be a snapshot's whole name on a server."""
    return bool(_FILE.fullmatch(name))


def is_taken_name(name: str, *, prefix: str, server: MachineName) -> bool:
    """Whether a server can have given its snapshot this name: k3s adds the node's name and the second to the prefix."""
    return re.fullmatch(re.escape(f"{prefix}-{server}") + _TAIL, name) is not None


def parse_taken(told: Mapping[str, str], *, prefix: str, server: MachineName, cluster: ClusterName) -> SnapshotNote:
    """What snapshot.sh printed of the snapshot that it took. The name becomes that of a file here.

    Raises:
        ValueError: Something is missing, or has an odd form.
    """
    name = _formed(told, "name", _FILE)
    if not is_taken_name(name, prefix=prefix, server=server):
        raise ValueError(f"name {ascii(name)[:80]} is not of the form {prefix}-{server}-SECONDS")
    return SnapshotNote(
        name=name,
        cluster=str(cluster),
        server=str(server),
        k3s_version=_formed(told, "version", _VERSION),
        made_s=int(_formed(told, "time", _SECONDS)),
        size=int(_formed(told, "size", _NUMBER)),
        sha256=_formed(told, "sha256", _SHA256),
        ca=_formed(told, "ca", _SHA256),
    )


def _formed(told: Mapping[str, str], key: str, form: re.Pattern[str]) -> str:
    value = told.get(key)
    if value is None:
        raise ValueError(f"it has no {key}")
    if not form.fullmatch(value):
        raise ValueError(f"{key} {ascii(value)[:80]} is malformed")
    return value


def parse_on_disk(line: str, server: MachineName) -> Snapshot | None:
    """A line of list-snapshots.sh, `SIZE TIME NAME`; None for one whose name could not be one of k3s's or ours."""
    found = _LISTED.fullmatch(line)
    if found is None or not is_file_name(found["name"]):
        return None
    name = found["name"]
    made = made_at(name) or datetime.fromtimestamp(int(found["written_s"]), tz=UTC)
    return Snapshot(name=name, machine=server, location=f"{ON_SERVER}{name}", size=int(found["size"]), made=made)


def made_s(name: str) -> int | None:
    """When a snapshot was taken, in Unix seconds, from its name; None where that does not say."""
    found = next((match for match in _MADE.finditer(name) if match.end() == len(name)), None)
    return int(found["made"]) if found else None


def made_at(name: str) -> datetime | None:
    """The same, as a time."""
    seconds = made_s(name)
    return datetime.fromtimestamp(seconds, tz=UTC) if seconds is not None else None


def is_local(snapshot: Snapshot) -> bool:
    """Whether it lies on this computer."""
    return "://" not in snapshot.location


def in_bucket(snapshot: Snapshot) -> bool:
    """Whether it lies in a bucket."""
    return snapshot.location.startswith("s3://")


def newest_first(snapshots: Iterable[Snapshot]) -> tuple[Snapshot, ...]:
    """In the order a user wants to read; each place once."""
    never = datetime.min.replace(tzinfo=UTC)
    by_place = {(None if in_bucket(each) else each.machine, each.location): each for each in snapshots}
    return tuple(sorted(by_place.values(), key=lambda each: (each.made or never, each.name), reverse=True))


def find_snapshot(wanted: str, snapshots: Iterable[Snapshot], *, cluster: ClusterName) -> Snapshot:
    """The snapshot of a name, or the newest for `latest`; of one in several places the nearest to a server's disk.

    Raises:
        PreflightError: There is none.
    """
    usable = [each for each in newest_first(snapshots) if not each.problem]
    if wanted == LATEST and usable:
        wanted = usable[0].name
    found = [each for each in usable if each.name == wanted]
    if not found:
        names = list(dict.fromkeys(each.name for each in usable))
        raise PreflightError(
            f"{cluster} has no snapshot {wanted}" if wanted != LATEST else f"{cluster} has no snapshot at all",
            details="\n".join(names[:10]),
            resolution=Advice("`homelab-k8s backups` lists them; for a local file, pass its path"),
        )
    return min(found, key=lambda each: (in_bucket(each), is_local(each)))


def snapshot_at(path: Path, *, size: int, note: SnapshotNote | None) -> Snapshot:
    """A file of this computer as a snapshot."""
    made = datetime.fromtimestamp(note.made_s, tz=UTC) if note else made_at(path.name)
    return Snapshot(name=path.name, machine=None, location=str(path), size=size, made=made)


def has_keys(spec: ClusterSpec) -> bool:
    """Whether the keys of the inventory's bucket are known here."""
    s3 = spec.backup.s3
    return s3 is not None and bool(s3.access_key and s3.secret_key)


def needed_bucket(spec: ClusterSpec) -> S3Spec:
    """The inventory's bucket, with its keys.

    Raises:
        PreflightError: It names none, or the keys are not in the environment.
    """
    s3 = spec.backup.s3
    if s3 is None:
        raise PreflightError(
            f"the inventory of {spec.name} has no bucket", resolution="set one as backup.s3, see docs/backup.md"
        )
    check_bucket(spec)
    return s3


def check_bucket(spec: ClusterSpec) -> None:
    """Refuse to act with a bucket in the inventory whose keys are not there: servers would be given none.

    Raises:
        PreflightError: Keys of a bucket that the inventory names are missing, or are none by their form.
    """
    s3 = spec.backup.s3
    if s3 is not None and not has_keys(spec):
        raise PreflightError(
            f"the keys of the bucket {s3.bucket} are not in the environment",
            details="nothing was changed",
            resolution="set the variables that backup.s3.access_key_env and secret_key_env name "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY unless the inventory says otherwise)",
        )
    if s3 is not None and not (_KEY.fullmatch(s3.access_key) and _KEY.fullmatch(s3.secret_key)):
        raise PreflightError(
            f"the keys of the bucket {s3.bucket} are malformed: they go into k3s's settings",
            details="a key must consist of letters, digits and punctuation, without spaces, quotes or line ends",
            resolution="check the variables that backup.s3.access_key_env and secret_key_env name",
        )

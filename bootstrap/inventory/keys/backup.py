"""The inventory's `backup:` section: k3s's own scheduled snapshots, and the bucket they go to."""

from __future__ import annotations

import re
from typing import Final

from bootstrap.inventory.files import Places
from bootstrap.inventory.problems import shown
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.scalars import Boolean, Integer, RefusedError, Text
from bootstrap.inventory.values.section import Key, Section, fill
from bootstrap.model.cluster import BackupSpec, S3Spec
from bootstrap.model.ids import ClusterName

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CRON_FIELDS: Final[tuple[tuple[str, int, int, tuple[str, ...]], ...]] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
"""Name, lowest, highest, and words for them from the lowest on; as k3s's cron library takes them, where Sunday is 0."""
_STEP: Final = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<every>[0-9]{1,3}))?")


def _cron(text: str) -> str:
    fields = text.split()
    for field, (name, lowest, highest, words) in zip(fields, _CRON_FIELDS, strict=True):
        for part in field.split(","):
            if not _is_step(part.lower(), lowest, highest, words):
                raise RefusedError(f"{shown(text)} has {shown(part)} for the {name}", f"from {lowest} to {highest}")
    return " ".join(fields)


def _is_step(part: str, lowest: int, highest: int, words: tuple[str, ...]) -> bool:
    found = _STEP.fullmatch(part)
    if not found or (found["first"] == "*" and found["last"]) or found["every"] in ("0", "00", "000"):
        return False
    ends = [each for each in (found["first"], found["last"]) if each not in (None, "*")]
    numbers = [_number(end, lowest, words) for end in ends]
    return all(lowest <= number <= highest for number in numbers) and numbers == sorted(numbers)


def _number(end: str, lowest: int, words: tuple[str, ...]) -> int:
    """What one end of a range stands for; -1 for what is none."""
    if end in words:
        return lowest + words.index(end)
    return int(end) if end.isdecimal() else -1


def _cron_hint(text: str) -> str:
    fields = len(text.split())
    return f"it has {fields} fields; such as 0 */6 * * *, every six hours" if fields != len(_CRON_FIELDS) else ""


CRON: Final = Text(
    label="five cron fields: minute, hour, day of the month, month, day of the week",
    pattern=r" *[A-Za-z0-9*/,-]+(?: +[A-Za-z0-9*/,-]+){4} *",
    parse=_cron,
    explain=_cron_hint,
)
S3_ENDPOINT: Final = Text(
    label="a host, or host:port, without https://",
    pattern=r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?",
    parse=str,
    loose=True,
    explain=lambda text: f"write {re.sub(r'^[a-z0-9]+://|/+$', '', text)}" if "://" in text else "",
)
S3_BUCKET: Final = Text(
    label="a bucket's name of 3 to 63 lower-case letters, digits, dots and hyphens",
    pattern=r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    parse=str,
)
S3_REGION: Final = Text(label="a region's name, such as eu-central-1", pattern=r"[A-Za-z0-9][A-Za-z0-9-]*", parse=str)
S3_FOLDER: Final = Text(label="a folder's path", pattern=r"[A-Za-z0-9._/-]+", parse=lambda text: text.strip("/"))


class S3Keys(Section):
    """An S3 bucket that snapshots go to as well; its keys come from the environment."""

    endpoint = Key(
        kind=S3_ENDPOINT, default="s3.amazonaws.com", example="minio.home.arpa:9000", doc="Where the bucket is."
    )
    bucket = Key(
        kind=S3_BUCKET,
        example="k3s-snapshots",
        doc="The bucket; it must exist.",
        required=("needs a bucket", "such as bucket: k3s-snapshots"),
    )
    region = Key(kind=S3_REGION, default="us-east-1", doc="The bucket's region.")
    folder = Key(
        kind=S3_FOLDER,
        default_doc="the cluster's name",
        example="homelab",
        doc="Folder in the bucket; `/` for the bucket's top. Clusters that share one prune each other's snapshots.",
    )
    retention = Key(
        kind=Integer(minimum=1, maximum=1000),
        default_doc="three times `backup.retention`",
        example=60,
        doc="How many scheduled snapshots are kept in the bucket, of all servers together.",
    )
    access_key_env = Key(
        kind=forms.ENV_NAME,
        default="AWS_ACCESS_KEY_ID",
        example="MINIO_ACCESS_KEY",
        doc="Environment variable with the access key.",
    )
    secret_key_env = Key(
        kind=forms.ENV_NAME,
        default="AWS_SECRET_ACCESS_KEY",
        example="MINIO_SECRET_KEY",
        doc="Environment variable with the secret key.",
    )
    insecure = Key(kind=Boolean(), default=False, doc="Use plain HTTP, for a bucket at home.")
    skip_verify = Key(
        kind=Boolean(),
        default=False,
        doc="Do not check the HTTPS certificate: anyone on the network can read the data.",
    )

    def make_for(self, cluster: ClusterName, places: Places) -> S3Spec:
        """The bucket of a cluster; its folder is by default the cluster's name."""
        return fill(
            S3Spec,
            self,
            places=places,
            folder=cluster if self.folder is None else self.folder,
            # Empty where not set: only commands for servers or snapshots need them, and report it.
            access_key=places.environ.get(self.sure(S3Keys.access_key_env), ""),
            secret_key=places.environ.get(self.sure(S3Keys.secret_key_env), ""),
        )


class BackupKeys(Section):
    """Scheduled snapshots of clusters with embedded etcd."""

    schedule = Key(
        kind=CRON,
        default_doc="k3s's own, 00:00 and 12:00",
        example="0 */6 * * *",
        doc="When each server with etcd takes a snapshot, by its own clock.",
    )
    retention = Key(
        kind=Integer(minimum=1, maximum=1000),
        default_doc="k3s's own, 5",
        example=14,
        doc="How many scheduled snapshots are kept on each server.",
    )
    on_demand_retention = Key(
        kind=Integer(minimum=1, maximum=1000),
        default_doc="all of `backup`, five of `upgrade`",
        example=10,
        doc="How many snapshots per name taken by `backup` are kept for each server, on its disk and in the "
        "bucket; the same for those of `upgrade`.",
    )
    s3 = Key(
        kind=S3Keys,
        default_doc="none: snapshots stay on the servers",
        example={"endpoint": "minio.home.arpa:9000", "bucket": "k3s-snapshots"},
        optional=True,
    )

    def make_for(self, cluster: ClusterName, places: Places) -> BackupSpec:
        """A cluster's snapshot settings."""
        s3 = self.s3.make_for(cluster, places) if self.s3 is not None else None
        return fill(BackupSpec, self, places=places, s3=s3)

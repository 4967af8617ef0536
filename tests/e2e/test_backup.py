"""Snapshots in a bucket, which only real guests reach. All else of backups: tests/lab/simulated/test_backups.py."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.doubles import s3
from tests.e2e.homes import Home, Result, lab_home
from tests.e2e.workload import has_precious, lose_precious, make_precious

pytestmark = pytest.mark.container

INVENTORY = """
cluster: lab
control_plane: {{count: 3, cores: 1, memory: 1GiB, disk: 8GiB}}
workers: 0
backup:
  s3: {{endpoint: "{endpoint}", bucket: saved, insecure: true, access_key_env: SAVED_ID, secret_key_env: SAVED_SECRET}}
"""


@dataclass(frozen=True)
class Cluster:
    """The cluster, its inventory with a bucket, and that bucket."""

    home: Home
    bucket: s3.Buckets

    def run(self, *command: str, expect: int | None = 0) -> Result:
        return self.home.run(*command, *self._given, expect=expect, env=self._keys)

    @property
    def _given(self) -> tuple[str, ...]:
        return ("--lab", "-i", "lab.yaml")

    @property
    def _keys(self) -> dict[str, str]:
        return {"SAVED_ID": self.bucket.access_key, "SAVED_SECRET": self.bucket.secret_key}

    def well(self) -> bool:
        return bool(self.run("status", "-o", "json").json["problems"] == [])


def gateway() -> str:
    """This machine's address on the lab's bridge, which guests reach."""
    lines = subprocess.run(["ip", "-o", "-4", "address", "show"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"hklab\S*\s+inet ([0-9.]+)/", lines)
    assert found, lines
    return found[1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with lab_home("container") as home, s3.running("saved", address=gateway()) as bucket:
        (home.directory / "lab.yaml").write_text(INVENTORY.format(endpoint=bucket.endpoint))
        made = Cluster(home=home, bucket=bucket)
        made.run("up")
        yield made
        made.run("down", "--yes")


def test_a_snapshot_in_the_bucket_brings_it_back(cluster: Cluster) -> None:
    make_precious(cluster.home)
    cluster.run("backup", "--name", "afar", "--to", "s3")
    assert cluster.bucket.refused == []
    (key,) = (key for key in cluster.bucket.objects["saved"] if "afar" in key)
    lose_precious(cluster.home)
    cluster.run("restore", key.rpartition("/")[2], "--from-bucket", "--yes")
    assert cluster.well()
    assert has_precious(cluster.home)


def test_a_bucket_in_trouble_is_told_of_and_stops_no_plain_snapshot(cluster: Cluster) -> None:
    bucket = cluster.bucket
    bucket.denies = "Access Denied."
    denied = cluster.run("backup", "--name", "denied", "--to", "s3", expect=1)
    assert "is on this server, but not in the bucket saved" in denied.err
    assert "Access Denied." in denied.err
    plain = cluster.run("backup", "--name", "denied")
    assert "not in the bucket saved: Access Denied." in plain.err
    bucket.denies = ""
    gone = bucket.objects.pop("saved")
    dead = cluster.run("backup", "--name", "dead")
    assert "bucket saved does not exist" in dead.err
    assert "bucket saved does not exist" in cluster.run("backups").out
    bucket.objects["saved"] = gone
    assert "denied" in "".join(cluster.run("status", "-o", "json", expect=None).json["problems"])
    cluster.run("backup", "--name", "again", "--to", "s3")
    assert cluster.well()
    assert not [key for key in gone if "denied" in key or "dead" in key]


def test_one_from_before_there_was_a_folder_is_listed_and_brings_it_back_and_anothers_is_not(cluster: Cluster) -> None:
    held = cluster.bucket.objects["saved"]
    assert all(key.startswith("lab/") for key in held), "the folder is the cluster's name"
    cluster.run("backup", "--name", "old", "--to", "s3")
    (key,) = (key for key in held if "/old-" in key)
    name = key.rpartition("/")[2]
    held[name] = held.pop(key)
    held |= {"attic/etcd-snapshot-attic-cp-1-1990000000": b"x", "etcd-snapshot-attic-cp-1-1990000000": b"x"}
    cluster.home.run(
        "exec", "--machine", "lab-cp-1", "--lab", "--", f"sudo rm /var/lib/rancher/k3s/server/db/snapshots/{name}"
    )
    listed = cluster.run("backups", "-o", "json").json
    assert f"s3://saved/{name}" in {row["location"] for row in listed["snapshots"]}
    assert not [row for row in listed["snapshots"] if "attic" in row["name"]]
    assert any("1 snapshot at the top of the bucket saved" in note for note in listed["notes"])
    lose_precious(cluster.home)
    cluster.run("restore", name, "--yes")
    assert cluster.well()
    assert has_precious(cluster.home)

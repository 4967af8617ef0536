"""Three servers with etcd, then one with sqlite: saved, brought back, cut off in the middle, token replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.homes import Home, Result
from tests.e2e.workload import has_precious, kubectl, lose_precious, make_precious

STATE = "state/homelab-k8s"


@dataclass(frozen=True)
class Cluster:
    """The lab's cluster."""

    home: Home

    def run(self, *command: str, expect: int | None = 0) -> Result:
        return self.home.run(*command, "--lab", expect=expect)

    def kill(self, *command: str, at: str) -> None:
        self.home.kill(*command, "--lab", at=at)

    def well(self) -> bool:
        return bool(self.run("status", "-o", "json").json["problems"] == [])

    def token(self) -> str:
        return (self.home.directory / STATE / "clusters/lab/token").read_text().strip().rpartition(":")[2]


@pytest.fixture(scope="module")
def cluster(home: Home) -> Iterator[Cluster]:
    made = Cluster(home)
    made.run("up", "--control-planes", "3", "--workers", "1")
    yield made
    made.run("down", "--yes")


def test_a_backup_is_on_the_server_and_here_and_only_the_user_can_read_it(cluster: Cluster) -> None:
    make_precious(cluster.home)
    here = cluster.home.directory / STATE / "snapshots/lab"
    result = cluster.run("backup", "--to", str(here))
    listed = cluster.run("backups", "-o", "json").json
    assert listed["problems"] == []
    assert {row["machine"] for row in listed["snapshots"]} >= {None, "lab-cp-1"}
    fetched = list(here.iterdir())
    assert len(fetched) == 3
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in fetched)
    assert cluster.token() not in result.err
    line = {"_HOMELAB_K8S_COMPLETE": "complete_bash", "COMP_WORDS": "homelab-k8s restore ", "COMP_CWORD": "2"}
    offered = cluster.home.run(env=line).out.split()
    assert {row["name"] for row in listed["snapshots"]} <= set(offered), "the shell completes them"


def test_what_was_deleted_since_is_back_after_a_restore(cluster: Cluster) -> None:
    lose_precious(cluster.home)
    cluster.run("restore", "latest", "--yes")
    assert cluster.well()
    assert has_precious(cluster.home)


@pytest.mark.parametrize(
    "at", [r"lab-cp-2.*stop k3s", r"lab-cp-1.*restore .*\.\.\.|lab-cp-1.*restore", r"lab-cp-2.*join again"]
)
def test_a_restore_killed_in_the_middle_is_repeated(cluster: Cluster, at: str) -> None:
    snapshots = cluster.run("backups", "-o", "json").json["snapshots"]
    snapshot = next(row["name"] for row in snapshots if row["name"].startswith("manual"))
    lose_precious(cluster.home)
    cluster.kill("restore", snapshot, "--yes", at=at)
    cluster.run("restore", snapshot, "--yes")
    assert cluster.well()
    assert has_precious(cluster.home)


def test_a_new_token_is_on_every_machine_even_when_the_rotation_was_killed(cluster: Cluster) -> None:
    before = cluster.token()
    cluster.kill("rotate", "token", "--yes", at=r"lab-cp-2.*restart with the new token")
    result = cluster.run("rotate", "token", "--yes")
    assert "an interrupted rotation is completed" in result.err
    assert cluster.well()
    assert cluster.token() != before
    assert cluster.token() not in result.err
    # A machine that joins now does so with the new one.
    cluster.run("scale", "workers", "2")
    assert len(cluster.run("status", "-o", "json").json["machines"]) == 5


def test_a_snapshot_from_before_the_rotation_brings_its_token_back(cluster: Cluster) -> None:
    now = cluster.token()
    lose_precious(cluster.home)
    cluster.run("restore", "latest", "--yes")
    assert has_precious(cluster.home)
    assert cluster.token() != now


def test_no_secret_is_in_the_logs(cluster: Cluster) -> None:
    kept = (cluster.home.directory / STATE / "clusters/lab/tokens-before").read_text()
    secrets = {cluster.token(), *re.findall(r"[0-9a-f]{64}", kept)}
    assert len(secrets) >= 2
    for log in (cluster.home.directory / STATE / "logs").iterdir():
        text = log.read_text()
        assert not [each for each in secrets if each in text], log


def saved_file(cluster: Cluster) -> Path:
    (fetched,) = (cluster.home.directory / "files").glob("*.sqlite")
    return fetched


def test_one_server_with_sqlite_is_saved_and_brought_back_from_a_file(cluster: Cluster) -> None:
    cluster.run("down", "--yes")
    cluster.run("up", "--workers", "1")
    make_precious(cluster.home)
    cluster.run("backup", "--to", "files")
    lose_precious(cluster.home)
    cluster.run("restore", str(saved_file(cluster)), "--yes")
    assert cluster.well()
    assert has_precious(cluster.home)


def test_its_file_comes_back_in_a_cluster_of_three_with_other_certificates(cluster: Cluster) -> None:
    cluster.run("down", "--yes")
    cluster.run("up", "--control-planes", "3", "--workers", "1")
    assert not has_precious(cluster.home)
    cluster.run("restore", str(saved_file(cluster)), "--yes")
    assert cluster.well()
    assert has_precious(cluster.home)
    nodes = json.loads(kubectl(cluster.home, "get", "nodes", "-o", "json"))["items"]
    roles = [label for node in nodes for label in node["metadata"]["labels"] if label.endswith("/etcd")]
    assert len(roles) == 3

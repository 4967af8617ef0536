"""Three servers with etcd, then one with sqlite: saved, brought back, cut off in the middle, token replaced."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.homes import Home, Result, lab_home

pytestmark = pytest.mark.container

PROGRAM = Path(__file__).with_name("keeping.py")
STATE = "state/homelab-k8s/clusters/lab"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with lab_home("container") as home:
        home.run("up", "--lab", "--control-planes", "3", "--workers", "1")
        yield home
        home.run("down", "--lab", "--yes")


def start(home: Home, *arguments: str) -> subprocess.Popen[str]:
    environ = {**home.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments],
        env=environ,
        cwd=home.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def keep(home: Home, *arguments: str, expect: int = 0) -> Result:
    with start(home, *arguments) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == expect, err
    return Result(code=process.returncode, out=out, err=err)


def killed(home: Home, *arguments: str, at: str) -> None:
    """Run, and pull the plug when a line of this form comes."""
    with start(home, *arguments) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.search(at, line):
                process.send_signal(signal.SIGKILL)
                break
        process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL


def kubectl(home: Home, *arguments: str) -> str:
    command = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(home.kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def create(home: Home) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "precious", "namespace": "default"}}
    path = home.directory / "precious.json"
    path.write_text(json.dumps(body))
    # The stand-in has no OpenAPI to check it against.
    kubectl(home, "create", "--validate=false", "-f", str(path))


def there(home: Home) -> bool:
    listed = json.loads(kubectl(home, "get", "configmaps", "-o", "json"))["items"]
    return "precious" in {item["metadata"]["name"] for item in listed}


def token(home: Home) -> str:
    return (home.directory / STATE / "token").read_text().strip().rpartition(":")[2]


def latest(home: Home) -> str:
    return str(json.loads(keep(home, "backups").out)["snapshots"][0]["name"])


def test_a_backup_is_on_the_server_and_here_and_only_the_user_can_read_it(home: Home) -> None:
    create(home)
    result = keep(home, "backup", "snapshots")
    print(result.err)
    listed = json.loads(keep(home, "backups").out)
    assert listed["problems"] == []
    assert {row["machine"] for row in listed["snapshots"]} == {None, "lab-cp-1"}
    fetched = list((home.directory / "snapshots").iterdir())
    assert len(fetched) == 3
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in fetched)
    assert token(home) not in result.err


def test_what_was_deleted_since_is_back_after_a_restore(home: Home) -> None:
    kubectl(home, "delete", "configmap", "precious")
    assert not there(home)
    result = keep(home, "restore", "latest")
    print(result.err)
    assert json.loads(result.out)["problems"] == []
    assert there(home)


@pytest.mark.parametrize(
    "at", [r"lab-cp-2.*stop k3s", r"lab-cp-1.*restore .*\.\.\.|lab-cp-1.*restore", r"lab-cp-2.*join again"]
)
def test_a_restore_killed_in_the_middle_is_repeated(home: Home, at: str) -> None:
    snapshot = latest(home)
    kubectl(home, "delete", "configmap", "precious")
    killed(home, "restore", snapshot, at=at)
    result = keep(home, "restore", snapshot)
    assert json.loads(result.out)["problems"] == []
    assert there(home)


def test_a_new_token_is_on_every_machine_even_when_the_rotation_was_killed(home: Home) -> None:
    before = token(home)
    killed(home, "rotate", at=r"lab-cp-2.*restart with the new token")
    result = keep(home, "rotate")
    print(result.err)
    outcome = json.loads(result.out)
    assert outcome["problems"] == []
    assert any("cut off" in note for note in outcome["notes"])
    assert token(home) != before
    assert token(home) not in result.err
    # A machine that joins now does so with the new one.
    home.run("up", "--lab", "--control-planes", "3", "--workers", "2")
    assert home.run("status", "--lab", "-o", "json").json["problems"] == []


def test_a_snapshot_from_before_the_rotation_brings_its_token_back(home: Home) -> None:
    now = token(home)
    kubectl(home, "delete", "configmap", "precious")
    result = keep(home, "restore", latest(home))
    print(result.err)
    assert json.loads(result.out)["problems"] == []
    assert there(home)
    assert token(home) != now


def test_secrets_are_encrypted_from_the_first_start(home: Home) -> None:
    assert json.loads(keep(home, "encryption").out) == {"enabled": True}


def test_no_token_is_in_the_logs(home: Home) -> None:
    secrets = {token(home), *re.findall(r"[0-9a-f]{64}", (home.directory / STATE / "tokens-before").read_text())}
    assert len(secrets) >= 2
    for log in (home.directory / "state/homelab-k8s/logs").iterdir():
        text = log.read_text()
        assert not [each for each in secrets if each in text], log


@pytest.fixture(scope="module")
def alone(home: Home) -> Home:
    home.run("down", "--lab", "--yes")
    home.run("up", "--lab", "--workers", "1")
    return home


def test_one_server_with_sqlite_is_saved_and_brought_back_from_a_file(alone: Home) -> None:
    create(alone)
    keep(alone, "backup", "files")
    (fetched,) = (alone.directory / "files").glob("*.sqlite")
    kubectl(alone, "delete", "configmap", "precious")
    result = keep(alone, "restore", str(fetched))
    print(result.err)
    assert json.loads(result.out)["problems"] == []
    assert there(alone)


def test_its_file_comes_back_in_a_cluster_of_three_with_other_certificates(alone: Home) -> None:
    (fetched,) = (alone.directory / "files").glob("*.sqlite")
    alone.run("down", "--lab", "--yes")
    alone.run("up", "--lab", "--control-planes", "3", "--workers", "1")
    assert not there(alone)
    result = keep(alone, "restore", str(fetched))
    print(result.err)
    assert json.loads(result.out)["problems"] == []
    assert there(alone)
    nodes = json.loads(kubectl(alone, "get", "nodes", "-o", "json"))["items"]
    roles = [label for node in nodes for label in node["metadata"]["labels"] if label.endswith("/etcd")]
    assert len(roles) == 3

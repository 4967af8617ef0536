"""A template is built on container guests, killed on the way, and machines made of it get nothing uploaded."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.api import Api
from tests.e2e.homes import Home, lab_home
from tests.e2e.images import SHA512, served_image

pytestmark = pytest.mark.container


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with lab_home("container") as home:
        yield home


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """The command that builds the template of an image that this machine serves."""
    with served_image(tmp_path_factory.mktemp("images")) as url:
        yield ("template", "build", "--lab", "--image", url, "--checksum", SHA512)


def volumes(home: Home, content: str) -> list[str]:
    listed = Api(home).call("GET", f"/nodes/pve1/storage/local/content?content={content}")
    assert isinstance(listed, list)
    return [item["volid"] for item in listed]


def test_a_build_that_is_killed_while_it_bakes_is_continued(home: Home, build: tuple[str, ...]) -> None:
    command = [str(Path(sys.executable).parent / "homelab-k8s"), *build, "--progress", "plain"]
    with subprocess.Popen(
        command, env=home.environ, cwd=home.directory, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.search(r"template-pve1 +bake", line):
                process.send_signal(signal.SIGKILL)
                break
        process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL
    (half,) = home.run("template", "list", "--lab", "-o", "json").json["templates"]
    assert not half["ready"]
    home.run(*build)
    (made,) = home.run("template", "list", "--lab", "-o", "json").json["templates"]
    assert made["ready"]
    assert made["vmid"] == half["vmid"]
    assert volumes(home, "iso") == []
    assert Api(home).vms() == {}


def test_it_is_not_built_twice(home: Home, build: tuple[str, ...]) -> None:
    assert "nothing to do" in home.run(*build).out


def test_nothing_that_is_one_machine_s_own_is_in_it(home: Home) -> None:
    (made,) = home.run("template", "list", "--lab", "-o", "json").json["templates"]
    root = home.directory / f"state/homelab-k8s/lab/container/{made['vmid']}/upper"
    assert (root / "usr/local/bin/k3s").stat().st_mode & 0o777 == 0o755
    assert (root / "etc/machine-id").read_text() == ""
    for pattern in (
        "etc/ssh/ssh_host_*",
        "home/*/.ssh/authorized_keys",
        "root/.ssh/authorized_keys",
        "home/*/.homelab*",
    ):
        assert [path for path in root.glob(pattern) if path.is_file()] == []
    written = [path.name for path in (root / "var/log").rglob("*") if path.is_file() and path.stat().st_size]
    assert written in ([], ["wtmp"])


def test_machines_of_it_get_nothing_uploaded_and_are_told_apart(home: Home) -> None:
    up = ("up", "--lab", "--template", "tag:homelab-k8s-template", "--workers", "1", "--progress", "plain")
    said = home.run(*up).err
    sent = re.findall(r"(\S+) +install: send k3s \S+ … (\w+)", said)
    assert sorted(sent) == [("lab-cp-1", "ok"), ("lab-workers-1", "ok")]  # `done` would say that something was sent
    assert home.run("status", "--lab", "-o", "json").json["problems"] == []
    (made,) = home.run("template", "list", "--lab", "-o", "json").json["templates"]
    assert made["used_by"] == ["7000 (lab-cp-1)", "7001 (lab-workers-1)"]


def test_prune_keeps_what_machines_stand_on_until_they_are_gone(home: Home, build: tuple[str, ...]) -> None:
    home.run(*build, "--again")
    old, new = home.run("template", "list", "--lab", "-o", "json").json["templates"]
    assert new["vmid"] > old["vmid"]  # `up` takes the highest
    assert "is kept" in home.run("template", "prune", "--lab", "--yes").out
    home.run("down", "--lab", "--yes")
    home.run("template", "prune", "--lab", "--yes")
    assert home.run("template", "list", "--lab", "-o", "json").json["templates"] == [new]

"""Upkeep of a cluster on simulated guests that gets one new k3s and one new image."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.lab.standin_release import make_artifacts
from tests.e2e.homes import Home, Result
from tests.e2e.images import IMAGE, served_image

OLD, NEW, BEYOND = "v1.34.1+k3s1", "v1.34.2+k3s1", "v1.35.0+k3s1"
INVENTORY = """
cluster: lab
proxmox: {endpoint: "ENDPOINT", token_id: "TOKEN_ID", token: {file: token}, tls: {fingerprint: "PIN"}, nodes: [pve1]}
ssh: {port: SSH_PORT}
network: {subnet: "NETWORK"}
control_plane: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
template: {image: "URL", checksum: "sha512:SUM"}
maintain: {backup_to: saved, keep_templates: 1, notify: [{file: notice}]}
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of an image, and its file."""
    directory = tmp_path_factory.mktemp("images")
    with served_image(directory) as url:
        yield url, directory / "debian.qcow2"


def write(home: Home, images: tuple[str, Path], content: bytes) -> None:
    """An inventory of its own: `--lab` would take the lab's template."""
    url, file = images
    file.write_bytes(content)
    lab = json.loads((home.directory / "state/homelab-k8s/lab/lab.json").read_text())
    told = {
        "ENDPOINT": lab["endpoint"], "TOKEN_ID": lab["token_id"], "PIN": lab["fingerprint"], "NETWORK": lab["network"],
        "SSH_PORT": str(lab["ssh_port"]), "URL": url, "SUM": hashlib.sha512(content).hexdigest(),
    }  # fmt: skip
    text = INVENTORY
    for name, value in told.items():
        text = text.replace(name, value)
    (home.directory / "cluster.yaml").write_text(text)
    (home.directory / "token").write_text(lab["token_secret"])
    (home.directory / "notice").write_text("nonsense://my-own-topic\n")


def run(home: Home, *command: str, expect: int = 0) -> Result:
    return home.run(*command, "-i", "cluster.yaml", expect=expect)


def nodes(home: Home) -> dict[str, str]:
    """All machines, Ready and without a problem, with their k3s."""
    status = run(home, "status", "-o", "json").json
    assert status["problems"] == []
    assert all(machine["ready"] for machine in status["machines"])
    return {machine["name"]: machine["k3s_version"] for machine in status["machines"]}


def releases(home: Home, *versions: str) -> None:
    shutil.rmtree(home.directory / "k3s")
    for version in versions:
        make_artifacts(home.directory / "k3s" / version, version=version)


def test_a_new_k3s_and_a_new_image_reach_every_machine_and_then_nothing_is_left(
    home: Home, images: tuple[str, Path]
) -> None:
    releases(home, OLD)
    write(home, images, IMAGE)
    run(home, "up", "--yes")
    assert nodes(home) == dict.fromkeys(("lab-cp-1", "lab-workers-1"), OLD)
    releases(home, OLD, NEW, BEYOND)
    write(home, images, IMAGE + b", and another one")
    foreseen = run(home, "maintain", "--dry-run", "-o", "json").json
    assert [task["kind"] for task in foreseen["tasks"]] == ["backup", "upgrade", "template", "replace"]
    done = run(home, "maintain", "--yes", "-o", "json")
    assert [each["says"].partition(":")[0].partition(" (")[0] for each in done.json["done"]][1:] == [
        f"upgrade k3s to {NEW}",
        "build the template on pve1",
        "replace lab-workers-1",
    ]
    assert any("1 server with sqlite cannot be replaced" in note for note in done.json["notes"])
    assert nodes(home) == dict.fromkeys(("lab-cp-1", "lab-workers-2"), NEW)
    assert len(list((home.directory / "saved/lab").glob("maintain-lab-cp-1-*.sqlite"))) == 1
    assert "notice 1 of 1 was not delivered" in done.err or "notices need the package apprise" in done.err
    assert "my-own-topic" not in done.err
    again = run(home, "maintain", "--yes")
    assert "lab: healthy; nothing to do but the backup:" in again.out, again.out

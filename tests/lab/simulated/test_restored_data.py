"""Data that comes back on simulated guests: older than rotated keys, on fresh servers, with other addresses.

At the end of each a Secret is read: a cluster whose keys are not those of its data never comes up, or cannot.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from collections.abc import Iterator

import pytest
import yaml

from bootstrap.lab.standin_release import make_artifacts
from tests.e2e.homes import Home, Result, leftovers_of
from tests.e2e.workload import apply, kubectl

SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "precious", "namespace": "default"},
    "data": {"word": base64.b64encode(b"hello").decode()},
}
INVENTORY = """
cluster: lab
proxmox: {{vmids: {first}-{last}}}
control_plane: {{count: {servers}, cores: 1, memory: 1GiB, disk: 8GiB}}
workers: {{count: 1, cores: 1, memory: 1GiB, disk: 8GiB}}
"""


class Cluster:
    """A cluster in a lab whose time is twenty times as fast."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._first = 7000
        self.resize(1)

    def resize(self, servers: int) -> None:
        """Write another number of servers into the inventory."""
        self.servers = servers
        text = INVENTORY.format(first=self._first, last=self._first + 99, servers=servers)
        (self.home.directory / "lab.yaml").write_text(text)

    def move(self) -> None:
        """Machines that are made from now on have other addresses: in the lab those follow from the vmids."""
        self._first += 100
        self.resize(self.servers)

    def run(self, *command: str, expect: int | None = 0) -> Result:
        return self.home.run(*command, "--lab", "-i", "lab.yaml", expect=expect)

    def rotate_keys(self) -> None:
        """What `k3s secrets-encrypt rotate-keys` sends; a simulated guest runs no commands of k3s's."""
        config = yaml.safe_load(self.home.kubeconfig.read_text())
        server = config["clusters"][0]["cluster"]["server"]
        token = (self.home.directory / "state/homelab-k8s/clusters/lab/token").read_text().strip().rpartition(":")[2]
        login = base64.b64encode(f"server:{token}".encode()).decode()
        request = urllib.request.Request(
            f"{server}/v1-k3s/encrypt/config",
            method="PUT",
            data=b'{"stage": "rotate_keys"}',
            headers={"Authorization": f"Basic {login}"},
        )
        context = ssl._create_unverified_context()
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            assert answer.status == 200

    def rotate(self, what: str) -> None:
        if what in ("token", "both"):
            self.run("rotate", "token", "--yes")
        if what in ("keys", "both"):
            self.rotate_keys()

    def saved(self) -> str:
        """A snapshot's file, of data with the Secret."""
        apply(self.home, SECRET)
        folder = self.home.directory / "files"
        before = set(folder.glob("*")) if folder.is_dir() else set()
        self.run("backup", "--to", "files")
        (found,) = (path for path in set(folder.glob("*")) - before if path.suffix not in (".json", ".token"))
        return str(found)

    def lose_it(self) -> None:
        kubectl(self.home, "delete", "secret", "precious")

    def check_well(self) -> None:
        assert self.run("status", "-o", "json").json["problems"] == []
        secret = json.loads(kubectl(self.home, "get", "secret", "precious", "-o", "json"))
        assert base64.b64decode(secret["data"]["word"]) == b"hello"
        nodes = json.loads(kubectl(self.home, "get", "nodes", "-o", "json"))["items"]
        assert len(nodes) == self.servers + 1
        for node in nodes:
            (own,) = (each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
            assert node["metadata"]["annotations"]["k3s.io/internal-ip"] == own


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = Home(tmp_path_factory.mktemp("restored"))
    make_artifacts(home.directory / "k3s")
    home.run("lab", "start", "--guests", "simulated", "--pve-nodes", "2", "--time-scale", "0.05")
    try:
        cluster = Cluster(home)
        cluster.run("up")
        yield cluster
        cluster.run("down", "--yes")
    finally:
        home.run("lab", "stop")
    assert leftovers_of(home) == []


@pytest.fixture(scope="module")
def sqlite_file(cluster: Cluster) -> str:
    file = cluster.saved()
    assert file.endswith(".sqlite")
    return file


@pytest.mark.parametrize("rotation", ["none", "token", "keys"])
def test_sqlite_comes_back_from_before_a_rotation(cluster: Cluster, sqlite_file: str, rotation: str) -> None:
    cluster.rotate(rotation)
    cluster.lose_it()
    cluster.run("restore", sqlite_file, "--yes")
    cluster.check_well()


def test_it_comes_back_on_three_fresh_servers_with_other_addresses(cluster: Cluster, sqlite_file: str) -> None:
    cluster.move()
    cluster.resize(3)
    cluster.run("rebuild", "--restore", sqlite_file, "--yes")
    cluster.check_well()
    members = kubectl(cluster.home, "get", "nodes", "-l", "node-role.kubernetes.io/etcd=true", "-o", "name")
    assert members.count("cp") == 3


def test_and_on_three_that_have_etcd_with_newer_keys(cluster: Cluster, sqlite_file: str) -> None:
    cluster.rotate("both")
    cluster.lose_it()
    cluster.run("restore", sqlite_file, "--yes")
    cluster.check_well()


def test_etcd_comes_back_from_before_both_rotations(cluster: Cluster) -> None:
    file = cluster.saved()
    cluster.rotate("both")
    cluster.lose_it()
    cluster.run("restore", file, "--yes")
    cluster.check_well()


def test_a_rebuilt_cluster_with_its_data_has_other_addresses(cluster: Cluster) -> None:
    cluster.move()
    cluster.run("rebuild", "--keep-identity", "--restore", "latest", "--yes")
    cluster.check_well()

"""A cluster that only a jump host reaches, by commands."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from bootstrap.lab.standin_release import make_artifacts
from tests.e2e.homes import Home, leftovers_of

INVENTORY = """
cluster: lab
control_plane: {cores: 1, memory: 1GiB, disk: 8GiB, vip: VIP}
workers: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
"""


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("jump"))
    make_artifacts(home.directory / "k3s")
    home.run("lab", "start", "--guests", "simulated", "--time-scale", "0.02", "--jump")
    try:
        yield home
    finally:
        home.run("lab", "stop")
    assert leftovers_of(home) == []


def refuses(address: str, port: int) -> bool:
    """Whether a place hangs up on us: it does not even begin to talk TLS."""
    with socket.create_connection((address, port), timeout=30) as sock:
        sock.sendall(b"\x16\x03\x01")
        try:
            return sock.recv(1) == b""
        except ConnectionResetError:
            return True


def test_a_cluster_is_built_looked_at_and_used_through_the_jump_host(home: Home) -> None:
    lab = json.loads((home.directory / "state/homelab-k8s/lab/lab.json").read_text())
    vip = str(IPv4Network(lab["network"])[51_200])
    (home.directory / "cluster.yaml").write_text(INVENTORY.replace("VIP", vip))
    chosen = ("--lab", "--inventory", "cluster.yaml")
    built = home.run("up", *chosen)
    assert built.out.splitlines()[-1] == "next: homelab-k8s kubectl -i cluster.yaml --lab -- get nodes"
    status = home.run("status", *chosen, "-o", "json").json
    assert status["problems"] == []
    assert [machine["ready"] for machine in status["machines"]] == [True, True]
    for place in ((status["machines"][0]["address"], 6443), (status["machines"][0]["address"], 2222), (vip, 6443)):
        assert refuses(*place), place
    nodes = home.run("kubectl", *chosen, "--", "get", "nodes", "-o", "name")
    assert (nodes.out, nodes.err) == ("node/lab-cp-1\nnode/lab-workers-1\n", "")

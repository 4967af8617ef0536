"""A cluster with IPv4 and IPv6, its workers on an SDN vnet, by commands and on simulated guests. No root is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from bootstrap.lab.standin_release import make_artifacts
from tests.e2e.api import Api
from tests.e2e.homes import Home

INVENTORY = """
cluster: lab
network: {ipv6: auto}
workers: {count: 1, network: {bridge: labnet}}
"""
UP = ("up", "--lab", "-i", "both.yaml")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("dual"))
    make_artifacts(home.directory / "k3s")
    (home.directory / "both.yaml").write_text(INVENTORY)
    (home.directory / "four.yaml").write_text(INVENTORY.replace("network: {ipv6: auto}\n", ""))
    home.run("lab", "start", "--guests", "simulated", "--time-scale", "0.02", "--vnet", "labnet")
    try:
        yield home
    finally:
        home.run("lab", "stop")


def nodes(home: Home) -> dict[str, dict[str, Any]]:
    command = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(home.kubeconfig), "get", "nodes"]
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True, timeout=60)
    return {node["metadata"]["name"]: node for node in json.loads(done.stdout)["items"]}


def test_up_gives_every_node_both_addresses_and_pods_of_both_families(home: Home) -> None:
    home.run(*UP)
    found = nodes(home)
    assert sorted(found) == ["lab-cp-1", "lab-workers-1"]
    own = {name: [a["address"] for a in node["status"]["addresses"][:2]] for name, node in found.items()}
    kinds = {name: [type(ip_address(text)) for text in texts] for name, texts in own.items()}
    assert set(map(tuple, kinds.values())) == {(IPv4Address, IPv6Address)}
    assert len({text for texts in own.values() for text in texts}) == 4
    ranges = [[type(ip_network(cidr)) for cidr in node["spec"]["podCIDRs"]] for node in found.values()]
    assert ranges == [[IPv4Network, IPv6Network]] * 2
    assert len({node["spec"]["podCIDRs"][1] for node in found.values()}) == 2


def test_the_pools_machine_is_on_its_vnet_and_the_server_on_the_templates_bridge(home: Home) -> None:
    api, bridges = Api(home), {}
    for vmid, name in api.vms().items():
        config = api.call("GET", f"/nodes/pve1/qemu/{vmid}/config")
        assert isinstance(config, dict)
        bridges[name] = config["net0"].partition("bridge=")[2].split(",")[0]
    assert bridges == {"lab-cp-1": "vmbr0", "lab-workers-1": "labnet"}


def test_a_second_up_has_nothing_to_do(home: Home) -> None:
    result = home.run(*UP)
    assert "nothing to do" in result.out + result.err


def test_the_families_of_a_cluster_cannot_be_changed(home: Home) -> None:
    refused = home.run("up", "--lab", "-i", "four.yaml", expect=4)
    assert "lab was created for IPv4 and IPv6, but the inventory says IPv4 alone" in refused.err
    assert "homelab-k8s rebuild" in refused.err

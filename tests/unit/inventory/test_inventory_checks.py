"""What goes together, and the files that are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.inventory.kit import ENVIRON, Load, Told

NETWORK = "network: {{addresses: {addresses}, subnet: 192.168.1.0/24{more}}}\n"


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("network: {addresses: 192.168.1.5-192.168.1.9}", "network.addresses", "need the subnet", "192.168.1.0/24"),
        (
            NETWORK.format(addresses="192.168.1.250-192.168.1.255", more=""),
            "network.addresses",
            "192.168.1.250-192.168.1.255 is outside the subnet 192.168.1.0/24",
            "192.168.1.1 to 192.168.1.254",
        ),
        (
            NETWORK.format(addresses="10.0.0.5-10.0.0.9", more=""),
            "network.addresses",
            "10.0.0.5-10.0.0.9 is outside the subnet 192.168.1.0/24",
            "",
        ),
        (NETWORK.format(addresses="192.168.1.9-192.168.1.5", more=""), "network.addresses", "ends before", "1.5-192"),
        (
            NETWORK.format(addresses="192.168.1.5-192.168.1.7", more="") + "workers: 3",
            "network.addresses",
            "3 addresses for 4 machines",
            "widen",
        ),
        (
            NETWORK.format(addresses="192.168.1.5-192.168.1.5", more="") + "workers: 3",
            "network.addresses",
            "1 address for 4 machines",
            "widen",
        ),
        (
            NETWORK.format(addresses="192.168.1.1-192.168.1.9", more=", gateway: 192.168.1.1"),
            "network.gateway",
            "the gateway 192.168.1.1 is within the range of the machines' addresses",
            "leave it out",
        ),
        (
            NETWORK.format(addresses="192.168.1.3-192.168.1.9", more=", dns: [192.168.1.1, 192.168.1.9]"),
            "network.dns[1]",
            "the DNS server 192.168.1.9 is within the range of the machines' addresses",
            "leave it out",
        ),
        (
            NETWORK.format(addresses="192.168.1.3-192.168.1.9", more="") + "proxmox: {endpoint: 'https://192.168.1.5'}",
            "proxmox.endpoint",
            "the Proxmox endpoint 192.168.1.5 is within the range of the machines' addresses",
            "leave it out",
        ),
        (
            NETWORK.format(addresses="192.168.1.3-192.168.1.9", more=", gateway: 192.168.2.1"),
            "network.gateway",
            "192.168.2.1 is not in the subnet 192.168.1.0/24",
            "192.168.1.1 to",
        ),
        ("network: {gateway: 192.168.1.1}", "network.gateway", "has no effect without addresses", "DHCP"),
        (
            "network: {subnet: 192.168.1.0/24}\ncontrol_plane: {vip: 192.168.2.9}",
            "control_plane.vip.address",
            "192.168.2.9 is not in the machines' subnet 192.168.1.0/24",
            "192.168.1.1 to",
        ),
        (
            "network: {subnet: 192.168.1.0/24}\ncontrol_plane: {vip: 192.168.1.255}",
            "control_plane.vip.address",
            "192.168.1.255 is not in the machines' subnet",
            "192.168.1.1 to",
        ),
        (
            NETWORK.format(addresses="192.168.1.5-192.168.1.9", more="") + "control_plane: {vip: 192.168.1.9}",
            "control_plane.vip.address",
            "192.168.1.9 is within the range of the machines' addresses",
            "outside that range",
        ),
        (
            NETWORK.format(addresses="192.168.1.5-192.168.1.9", more=", gateway: 192.168.1.1")
            + "control_plane: {vip: 192.168.1.1}",
            "control_plane.vip.address",
            "192.168.1.1 is the gateway",
            "a free one",
        ),
        ("control_plane: {vip: {router_id: 7}}", "control_plane.vip", "needs its address", "such as vip:"),
        (
            "network: {subnet: 10.42.7.0/24}",
            "network.subnet",
            "subnet 10.42.7.0/24 overlaps cluster_cidr 10.42.0.0/16",
            "",
        ),
        ("network: {subnet: 10.43.7.0/24}", "network.subnet", "overlaps service_cidr 10.43.0.0/16", "overlap"),
        ("k3s: {cluster_cidr: 10.43.0.0/17}", "k3s.cluster_cidr", "overlaps cluster_cidr 10.43.0.0/17", "overlap"),
        ("k3s: {service_cidr: 10.42.0.0/17}", "k3s.service_cidr", "overlaps cluster_cidr 10.42.0.0/16", "overlap"),
        (
            "network: {subnet: 192.168.0.0/16}\nk3s: {cluster_cidr: 192.168.7.0/24}",
            "network.subnet",
            "subnet 192.168.0.0/16 overlaps cluster_cidr 192.168.7.0/24",
            "overlap",
        ),
        ("proxmox: {vmids: 100-102}\nworkers: 3", "proxmox.vmids", "3 vmids for 4 machines", "widen"),
        ("proxmox: {vmids: 100-102}\npools: {a: {count: 3}}", "proxmox.vmids", "3 vmids for 4 machines", "widen"),
        ("k3s: {channel: stable, artifacts: .}", "k3s.channel", "a channel has no effect on artifacts", "keep one"),
        ("k3s: {artifacts: nowhere}", "k3s.artifacts", "nowhere does not exist", "sha256sum"),
        ("k3s: {artifacts: lab.yaml}", "k3s.artifacts", "lab.yaml is not a directory", "sha256sum"),
        ("proxmox: {tls: {ca_file: no.pem}}", "proxmox.tls.ca_file", "no.pem does not exist", ""),
        ("proxmox: {tls: {ca_file: lab.yaml}}", "proxmox.tls.ca_file", "lab.yaml holds no PEM certificate", "pve-root"),
        ("proxmox: {tls: {ca_file: .}}", "proxmox.tls.ca_file", "cannot be read: Is a directory", ""),
        ("ssh: {private_key: no}", "ssh.private_key", "YAML takes no for a boolean", "quote"),
        ("ssh: {private_key: id_x}", "ssh.private_key", "id_x does not exist", ""),
        ("ssh: {private_key: id_x.pub}", "ssh.private_key", "id_x.pub is the public half", "id_x"),
        ("ssh: {private_key: lab.yaml}", "ssh.private_key", "lab.yaml holds no private key", "BEGIN"),
    ],
)
def test_a_contradiction_is_one_problem(told: Told, text: str, path: str, message: str, hint: str) -> None:
    (problem,) = told(f"{text}\n")
    assert problem.path == path
    assert problem.line
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "text",
    [
        # As many addresses and vmids as machines are enough; a pool of none counts for nothing.
        NETWORK.format(addresses="192.168.1.5-192.168.1.8", more="") + "workers: 3\nproxmox: {vmids: 100-103}\n",
        NETWORK.format(addresses="192.168.1.5-192.168.1.5", more="") + "workers: 0\n",
        NETWORK.format(addresses="192.168.1.1-192.168.1.253", more=", gateway: 192.168.1.254"),
        "network: {addresses: 192.0.2.0-192.0.2.1, subnet: 192.0.2.0/31}\n",
        "network: {subnet: 10.42.0.0/16}\nk3s: {cluster_cidr: 10.52.0.0/16}\n",
        "k3s: {version: v1.33.3+k3s1, artifacts: .}\n",
    ],
)
def test_what_just_fits_is_taken(load: Load, text: str) -> None:
    load(text)


def test_a_wrong_value_does_not_bring_others_down_with_it(told: Told) -> None:
    found = told(
        "network: {addresses: 192.168.1.5-192.168.1.300, subnet: 192.168.1.0/24, gateway: 192.168.1.1}\n"
        "proxmox: {vmids: 100-101}\n"
        "workers: many\n"
    )
    assert [problem.path for problem in found] == ["network.addresses", "workers"]


def test_files_under_home_are_found(load: Load, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "id").write_text("-----BEGIN RSA PRIVATE KEY-----\n", encoding="utf-8")
    inventory = load("ssh: {private_key: ~/id}\n", environ={**ENVIRON, "HOME": str(home)})
    assert inventory.spec.ssh.private_key == home / "id"


STORAGE = "network: {{subnet: 192.168.1.0/24, storage: {{{}}}}}"


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("network: {mtu: 100}", "network.mtu", "100 is too small for IPv4", "from 576"),
        (STORAGE.format("bridge: vmbr1, mtu: 575"), "network.storage.mtu", "575 is too small for IPv4", "1 for the"),
        (STORAGE.format("vlan: 7"), "network.storage", "needs its bridge", "vmbr1"),
        (
            STORAGE.format("bridge: vmbr1, addresses: 10.10.0.5-10.10.0.9"),
            "network.storage.addresses",
            "need the subnet",
            "10.10.0.0/24",
        ),
        (
            STORAGE.format("bridge: vmbr1, addresses: 10.10.0.5-10.10.1.9, subnet: 10.10.0.0/24"),
            "network.storage.addresses",
            "is outside the subnet 10.10.0.0/24",
            "",
        ),
        (
            STORAGE.format("bridge: vmbr1, addresses: 10.10.0.5-10.10.0.6, subnet: 10.10.0.0/24") + "\nworkers: 2",
            "network.storage.addresses",
            "2 addresses for 3 machines",
            "widen",
        ),
        (
            STORAGE.format("bridge: vmbr1, subnet: 192.168.0.0/16"),
            "network.storage.subnet",
            "overlaps network.subnet 192.168.1.0/24",
            "",
        ),
        (
            STORAGE.format("bridge: vmbr1, subnet: 10.42.7.0/24"),
            "network.storage.subnet",
            "overlaps k3s.cluster_cidr 10.42.0.0/16",
            "",
        ),
    ],
)
def test_storage_networks_that_cannot_be(told: Told, text: str, path: str, message: str, hint: str) -> None:
    (problem,) = told(text)
    assert problem.path == path
    assert message in problem.message
    assert hint in problem.hint


def test_a_storage_network_reaches_the_specification(load: Load) -> None:
    text = "bridge: vmbr1, vlan: 7, mtu: 9000, addresses: 10.10.0.5-10.10.0.9, subnet: 10.10.0.0/24"
    storage = load(STORAGE.format(text)).spec.network.storage
    assert storage is not None
    assert storage.addresses is not None
    assert (storage.bridge, storage.vlan, storage.mtu) == ("vmbr1", 7, 9000)
    assert (str(storage.addresses.first), str(storage.addresses.last)) == ("10.10.0.5", "10.10.0.9")


def test_proxmox_nodes_by_name_with_weight_and_in_maintenance(load: Load) -> None:
    text = "proxmox: {nodes: [pve1, {name: pve2, weight: 3}, {name: pve3, maintenance: true}]}"
    placement = load(text).spec.placement
    assert placement.pve_nodes == ("pve1", "pve2")
    assert placement.weights == (("pve2", 3),)
    assert placement.maintenance == ("pve3",)


@pytest.mark.parametrize(
    ("nodes", "path", "message", "hint"),
    [
        ("[{weight: 2}]", "proxmox.nodes[0]", "needs its name", "{name: pve1"),
        ("[{name: pve1, maintenance: true}]", "proxmox.nodes", "all of them are in maintenance", "may go to"),
        ("[pve1, {name: pve1}]", "proxmox.nodes[1]", "the name is there already", ""),
        ("[{name: pve1, weight: 0}]", "proxmox.nodes[0].weight", "a whole number from 1 to 100", ""),
    ],
)
def test_proxmox_nodes_that_cannot_be(told: Told, nodes: str, path: str, message: str, hint: str) -> None:
    (problem,) = told(f"proxmox: {{nodes: {nodes}}}")
    assert problem.path == path
    assert message in problem.message
    assert hint in problem.hint

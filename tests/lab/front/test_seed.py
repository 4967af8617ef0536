"""The cloud-init seed, in the form Proxmox VE generates it."""

from __future__ import annotations

import hashlib

import pytest
import yaml

from bootstrap.lab.front.configs.seed import render_network_config, render_seed, render_user_data, with_advertised

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICBTY/6URO0LElLcfjh4isAgHN8kwna7nLohTvfPS27Q lab"
QUOTED = KEY.replace(" ", "%20").replace("/", "%2F")


def test_user_data_is_what_a_proxmox_dumped() -> None:
    config = {"name": "Copy-of-VM-t1", "ciuser": "a", "ipconfig0": "ip=dhcp"}
    assert render_user_data(602, config) == (
        "#cloud-config\nhostname: Copy-of-VM-t1\nmanage_etc_hosts: true\nfqdn: Copy-of-VM-t1\nuser: a\n"
        "chpasswd:\n  expire: False\nusers:\n  - default\npackage_upgrade: true\n"
    )


def test_ciupgrade_0_leaves_packages_alone() -> None:
    assert "package_upgrade" not in render_user_data(1, {"name": "a", "ciupgrade": 0})
    assert "package_upgrade: true" in render_user_data(1, {"name": "a", "ciupgrade": 1})


def test_every_key_is_a_line_of_its_own() -> None:
    text = render_user_data(1, {"name": "a", "sshkeys": f"{QUOTED}%0A{QUOTED}%0A"})
    assert yaml.safe_load(text)["ssh_authorized_keys"] == [KEY, KEY]


@pytest.mark.parametrize(
    ("config", "hostname", "fqdn"),
    [
        ({"name": "n1"}, "n1", "n1"),
        ({"name": "n1", "searchdomain": "home.example"}, "n1", "n1.home.example"),
        ({"name": "n1.lab.example", "searchdomain": "home.example"}, "n1", "n1.lab.example"),
        ({}, "VM7", "VM7"),
    ],
)
def test_host_name_and_domain(config: dict[str, str], hostname: str, fqdn: str) -> None:
    read = yaml.safe_load(render_user_data(7, config))
    assert (read["hostname"], read["fqdn"]) == (hostname, fqdn)


def test_root_gets_no_default_user() -> None:
    assert "users" not in yaml.safe_load(render_user_data(1, {"name": "a", "ciuser": "root"}))


def test_a_static_address_names_the_interface_by_its_mac() -> None:
    config = {
        "net0": "virtio=BC:24:11:C3:39:6B,bridge=vmbr0",
        "ipconfig0": "ip=198.18.0.21/16,gw=198.18.0.1",
        "nameserver": "192.0.2.1 192.0.2.2",
        "searchdomain": "home.example",
    }
    assert yaml.safe_load(render_network_config(config)) == {
        "version": 1,
        "config": [
            {
                "type": "physical",
                "name": "eth0",
                "mac_address": "bc:24:11:c3:39:6b",
                "subnets": [
                    {
                        "type": "static",
                        "address": "198.18.0.21",
                        "netmask": "255.255.0.0",
                        "gateway": "198.18.0.1",
                    }
                ],
            },
            {"type": "nameserver", "address": ["192.0.2.1", "192.0.2.2"], "search": ["home.example"]},
        ],
    }


@pytest.mark.parametrize(
    ("ipconfig", "subnets"),
    [
        (None, [{"type": "dhcp4"}]),
        ("ip=dhcp", [{"type": "dhcp4"}]),
        ("ip=dhcp,ip6=auto", [{"type": "dhcp4"}, {"type": "ipv6_slaac"}]),
        ("ip6=dhcp", [{"type": "dhcp6"}]),
        (
            "ip6=2001:db8::2/64,gw6=2001:db8::1",
            [{"type": "static6", "address": "2001:db8::2/64", "gateway": "2001:db8::1"}],
        ),
    ],
)
def test_subnets(ipconfig: str | None, subnets: list[dict[str, str]]) -> None:
    config = {"net0": "virtio=BC:24:11:C3:39:6B,bridge=vmbr0"} | ({"ipconfig0": ipconfig} if ipconfig else {})
    assert yaml.safe_load(render_network_config(config))["config"][0]["subnets"] == subnets


def test_the_nodes_name_servers_stand_in() -> None:
    net = {"net0": "virtio=BC:24:11:C3:39:6B,bridge=vmbr0"}
    entries = yaml.safe_load(render_network_config(net, host_nameservers=("192.0.2.53",)))["config"]
    assert entries[1] == {"type": "nameserver", "address": ["192.0.2.53"]}


def test_the_instance_changes_with_the_contents() -> None:
    config = {"name": "a", "net0": "virtio=BC:24:11:C3:39:6B,bridge=vmbr0"}
    seed = render_seed(1, config)
    digest = hashlib.sha1((seed.user_data + seed.network_config).encode(), usedforsecurity=False).hexdigest()
    assert seed.meta_data == f"instance-id: {digest}\n"
    assert render_seed(1, config) == seed
    assert render_seed(1, config | {"ciuser": "b"}).meta_data != seed.meta_data


@pytest.mark.parametrize(
    ("word", "address"), [("auto", "fd00:1ab:0:1:be24:11ff:fec3:396b"), ("dhcp", "fd00:1ab:0:1::1b58")]
)
def test_guests_get_what_a_router_would_advertise(word: str, address: str) -> None:
    config = {"net0": "virtio=BC:24:11:C3:39:6B,bridge=vmbr0", "ipconfig0": f"ip=dhcp,ip6={word}"}
    (interface,) = yaml.safe_load(render_network_config(with_advertised(7000, config)))["config"]
    assert interface["subnets"] == [{"type": "dhcp4"}, {"type": "static6", "address": f"{address}/64"}]
    assert with_advertised(7000, {"net0": config["net0"], "ipconfig0": "ip=dhcp"})["ipconfig0"] == "ip=dhcp"

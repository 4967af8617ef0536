"""Pure texts: VM settings, k3s configuration, addresses, kubeconfigs."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
import yaml

from bootstrap.k3s.config import render_config, render_environment
from bootstrap.model.cluster import ClusterSpec, K3sSpec, NetworkSpec, StaticAddresses
from bootstrap.model.ids import MachineName, PveNodeName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, MachineRecord, MachineSpec, RecordState, Role, Taint
from bootstrap.model.observed import GuestInterface, VmRecord
from bootstrap.planning.capacity.addresses import choose_address
from bootstrap.proxmox.vm_settings import vm_settings
from bootstrap.records.vms.machine import read_record
from tests.fakes.keys import KEYS
from tests.fakes.specs import cluster

MAC = "BC:24:11:00:00:01"
SERVER = MachineSpec(
    name=MachineName("demo-cp-1"),
    role=Role.CONTROL_PLANE,
    pool=CONTROL_PLANE_POOL,
    cores=2,
    memory_mib=2048,
    disk_gib=20,
    cpu_type="host",
)
AGENT = replace(
    SERVER,
    name=MachineName("demo-gpu-1"),
    role=Role.WORKER,
    labels=(("accelerator", "gpu"),),
    taints=(Taint(key="gpu", value="yes", effect="NoSchedule"),),
)
VM = VmRecord(
    vmid=Vmid(7000),
    name="demo-cp-1",
    pve_node=PveNodeName("pve1"),
    running=False,
    smbios_uuid="uuid-7000",
    mac=MAC,
    net0=f"virtio={MAC},bridge=vmbr0,firewall=1",
)
RECORD = MachineRecord(
    cluster=cluster().name,
    machine=SERVER.name,
    role=SERVER.role,
    pool=SERVER.pool,
    vmid=VM.vmid,
    state=RecordState.MADE,
)

KEY = KEYS.need(cluster().name)


def settings(spec: ClusterSpec, *, machine: MachineSpec = SERVER, vm: VmRecord = VM) -> dict[str, str | int]:
    return vm_settings(
        spec,
        machine,
        vm=vm,
        record=RECORD,
        key=KEY,
        public_key="ssh-ed25519 AAAA me\n",
        scsi_controller="virtio-scsi-pci",
    )


def test_a_vm_is_set_up_as_kubernetes_wants_it() -> None:
    got = settings(cluster())
    assert got["balloon"] == 0
    assert got["agent"] == "enabled=1"
    assert got["ciupgrade"] == 0
    assert got["ipconfig0"] == "ip=dhcp"
    assert got["sshkeys"] == "ssh-ed25519 AAAA me"
    assert got["tags"] == "demo;homelab-k8s"
    assert read_record(str(got["description"])) == RECORD
    assert "net0" not in got, "the clone's own is right"
    assert "scsihw" not in got


def test_bridge_vlan_and_model_are_set_without_losing_the_mac_or_other_options() -> None:
    spec = replace(cluster(), network=NetworkSpec(bridge="vmbr1", vlan=20))
    assert settings(spec)["net0"] == f"virtio={MAC},bridge=vmbr1,firewall=1,tag=20"
    e1000 = replace(VM, net0=f"e1000={MAC},bridge=vmbr0")
    assert settings(cluster(), vm=e1000)["net0"] == f"virtio={MAC},bridge=vmbr0"


def test_an_lsi_controller_is_replaced_by_virtio_scsi() -> None:
    got = vm_settings(cluster(), SERVER, vm=VM, record=RECORD, key=KEY, public_key="k", scsi_controller="")
    assert got["scsihw"] == "virtio-scsi-single"


def test_a_static_address_comes_with_prefix_and_gateway() -> None:
    addresses = StaticAddresses(
        first=IPv4Address("192.0.2.50"),
        last=IPv4Address("192.0.2.60"),
        subnet=IPv4Network("192.0.2.0/24"),
        gateway=IPv4Address("192.0.2.1"),
    )
    spec = replace(cluster(), network=NetworkSpec(addresses=addresses, dns=(IPv4Address("192.0.2.2"),), search="lan"))
    got = settings(spec, machine=replace(SERVER, address=IPv4Address("192.0.2.50")))
    assert got["ipconfig0"] == "ip=192.0.2.50/24,gw=192.0.2.1"
    assert (got["nameserver"], got["searchdomain"]) == ("192.0.2.2", "lan")


def test_the_first_server_starts_etcd_only_for_several_servers() -> None:
    address = IPv4Address("192.0.2.50")
    one = yaml.safe_load(render_config(cluster(), SERVER, address=address, etcd=False, join=None))
    three = yaml.safe_load(render_config(cluster(), SERVER, address=address, etcd=True, join=None))
    joining = yaml.safe_load(render_config(cluster(), SERVER, address=address, etcd=True, join=address))
    assert "cluster-init" not in one
    assert three["cluster-init"] is True
    assert "cluster-init" not in joining
    assert joining["server"] == "https://192.0.2.50:6443"
    assert one["tls-san"] == ["192.0.2.50"]


def test_agents_get_labels_and_taints_but_no_server_settings() -> None:
    spec = replace(cluster(), k3s=K3sSpec(disable=("traefik",)))
    text = render_config(spec, AGENT, address=IPv4Address("192.0.2.51"), etcd=True, join=IPv4Address("192.0.2.50"))
    config = yaml.safe_load(text)
    assert config["node-label"] == ["accelerator=gpu"]
    assert config["node-taint"] == ["gpu=yes:NoSchedule"]
    assert not {"disable", "tls-san", "cluster-init", "secrets-encryption"} & config.keys()


def test_the_token_is_in_the_environment_file_alone() -> None:
    text = render_config(cluster(), SERVER, address=IPv4Address("192.0.2.50"), etcd=False, join=None)
    assert "token" not in text
    token = f"K10{'ab' * 32}::server:cd"
    assert render_environment(token) == f"K3S_TOKEN='{token}'\n"


def interface(name: str, mac: str, *addresses: str) -> GuestInterface:
    return GuestInterface(name=name, mac=mac, addresses=tuple(map(IPv4Address, addresses)))


def test_only_net0s_addresses_count() -> None:
    seen = (
        interface("lo", "00:00:00:00:00:00", "127.0.0.1"),
        interface("docker0", "02:42:00:00:00:01", "172.17.0.1"),
        interface("eth0", MAC.lower(), "169.254.7.7", "192.0.2.50"),
    )
    assert choose_address(seen, mac=MAC, subnet=None) == IPv4Address("192.0.2.50")


def test_an_address_that_is_a_network_of_its_own_is_a_machines_only_where_it_has_no_other() -> None:
    """A VIP that the inventory no longer has: keepalived gives it as a /32, and it was told first."""
    vip, own = IPv4Address("192.0.2.5"), IPv4Address("192.0.2.50")
    told = GuestInterface(name="eth0", mac=MAC, addresses=(vip, own), lone=frozenset({vip}))
    assert choose_address((told,), mac=MAC, subnet=None) == own
    assert choose_address((replace(told, addresses=(vip,)),), mac=MAC, subnet=None) == vip


def test_loopback_addresses_count_only_where_the_inventory_says_so() -> None:
    seen = (interface("eth0", MAC, "127.64.0.5"),)
    assert isinstance(choose_address(seen, mac=MAC, subnet=None), str)
    assert choose_address(seen, mac=MAC, subnet=IPv4Network("127.64.0.0/10")) == IPv4Address("127.64.0.5")


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ((), "interfaces: none"),
        ((interface("docker0", "02:42:00:00:00:01", "172.17.0.1"),), "docker0 02:42:00:00:00:01"),
        ((interface("eth0", MAC),), "eth0 has no address yet"),
        ((interface("eth0", MAC, "169.254.7.7"),), "eth0 has no address yet"),
        ((interface("eth0", MAC, "198.51.100.9"),), "198.51.100.9, none of which is in 192.0.2.0/24"),
    ],
)
def test_why_there_is_no_address_is_told_with_the_candidates(seen: tuple[GuestInterface, ...], words: str) -> None:
    answer = choose_address(seen, mac=MAC, subnet=IPv4Network("192.0.2.0/24"))
    assert isinstance(answer, str)
    assert words in answer

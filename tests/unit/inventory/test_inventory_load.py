"""From a file, the environment and flags to an `Inventory`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

import pytest

from bootstrap.errors import InventoryError
from bootstrap.inventory import Overrides, load_inventory
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import (
    CloneMode,
    ClusterSpec,
    HostKeyPolicy,
    K3sSpec,
    MacPolicy,
    NetworkSpec,
    PlacementSpec,
    SshSpec,
    StaticAddresses,
    TemplateRef,
    VmidRange,
)
from bootstrap.model.ids import ClusterName, PoolName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, NodePool, Role, Taint
from bootstrap.model.sizing import SizingSpec
from tests.unit.inventory.kit import ENVIRON, Load, Told

HERE = Path(__file__).parent
FULL = """
cluster: attic
proxmox:
  endpoint: https://PVE.home.arpa/
  token_id: automation@pve!homelab
  token: {env: SECRET}
  tls: {ca_file: ca.pem}
  nodes: [pve1, pve2]
  storage: local-lvm
  pool: k8s
  vmids: 8100-8199
template: {tag: k3s}
clone: full
onboot: false
protect: true
labels_from_proxmox: false
network:
  bridge: vmbr1
  vlan: 30
  addresses: 192.168.30.50-192.168.30.80
  subnet: 192.168.30.0/24
  gateway: 192.168.30.1
  dns: [192.168.30.1, 9.9.9.9, 'fd12::1']
  search: home.arpa
  macs: stable
ssh: {user: ops, port: 2222, private_key: keys/id, host_keys: accept-new}
k3s:
  version: v1.33.3+k3s1
  artifacts: k3s
  releases_url: http://mirror.home.arpa:8080/k3s/
  channels_url: https://mirror.home.arpa/channels
  tls_san: [k8s.home.arpa, 192.168.30.5, "fd00::5"]
  disable: [traefik, servicelb]
  cluster_cidr: 10.52.0.0/16
  service_cidr: 10.53.0.0/16
control_plane: {count: 3, cores: 4, memory: 4096MiB, disk: 1TiB, cpu: host, api_name: API.home.arpa}
workers:
  count: 2
  labels: {b.example.com/zone: "2", a: ""}
  taints: ["z:NoExecute", "a=b:NoSchedule"]
pools:
  gpu: {cores: 8}
sizing: {cpu_overcommit: 2.5, memory_reserve: 4GiB, storage_reserve: 100 GiB}
"""


def test_the_environment_alone_gives_one_server_and_one_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inventory = load_inventory(None, environ=ENVIRON)
    server = NodePool(
        name=CONTROL_PLANE_POOL,
        role=Role.CONTROL_PLANE,
        count=1,
        cores=2,
        memory_mib=2048,
        disk_gib=20,
        stated=frozenset(),
    )
    assert inventory.spec == ClusterSpec(
        name=ClusterName("homelab"),
        template=TemplateRef(tag="homelab-k8s-template", image="debian-13"),
        control_plane=server,
        workers=(replace(server, name=PoolName("workers"), role=Role.WORKER),),
        states_settings=False,
    ), "the table's defaults and the model's are the same"
    assert inventory.endpoint.url == "https://192.0.2.10:8006"
    assert inventory.source == "the environment"


def test_a_file_of_the_default_name_in_the_current_directory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("homelab-k8s.yaml").write_text("cluster: found\n", encoding="utf-8")
    inventory = load_inventory(None, environ=ENVIRON)
    assert (inventory.spec.name, inventory.source) == ("found", "homelab-k8s.yaml")


STRANGER = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


def of_a_stranger(file: Path) -> None:
    os.chown(file, STRANGER, -1)


def for_anybody_to_write(file: Path) -> None:
    file.chmod(0o646)


def for_a_group_to_write(file: Path) -> None:
    os.chown(file, -1, STRANGER)
    file.chmod(0o664)


def linked_by_a_stranger(file: Path) -> None:
    file.rename("ours.yaml")
    file.symlink_to("ours.yaml")
    os.lchown(file, STRANGER, -1)


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(of_a_stranger, "belongs to the user 12345", marks=needs_root),
        pytest.param(for_anybody_to_write, "others can write to it (mode 0646)"),
        pytest.param(for_a_group_to_write, "others can write to it (mode 0664)", marks=needs_root),
        pytest.param(linked_by_a_stranger, "belongs to the user 12345", marks=needs_root),
        pytest.param(a_pipe, "is not a regular file"),
    ],
)
def test_somebody_elses_file_in_the_current_directory_is_not_taken_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], problem: str
) -> None:
    """In /tmp, say, it named an endpoint of theirs, which was sent the token of our environment."""
    monkeypatch.chdir(tmp_path)
    file = Path("homelab-k8s.yaml")
    file.write_text("proxmox: {endpoint: 'https://192.0.2.66'}\n", encoding="utf-8")
    change(file)
    with pytest.raises(InventoryError) as caught:
        load_inventory(None, environ=ENVIRON)
    (found,) = caught.value.problems
    assert problem in found.message
    assert found.hint.endswith("-i homelab-k8s.yaml")
    if file.is_file():
        assert load_inventory(file, environ=ENVIRON).endpoint.url == "https://192.0.2.66:8006"


@needs_root
@pytest.mark.parametrize("mode", [0o644, 0o664])
def test_a_file_that_our_own_group_may_write_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("homelab-k8s.yaml")
    file.write_text("cluster: found\n", encoding="utf-8")
    os.chown(file, 0, os.getegid())
    file.chmod(mode)
    assert load_inventory(None, environ=ENVIRON).spec.name == "found"


def test_every_key_reaches_the_specification(load: Load, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n", encoding="utf-8")
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n", encoding="utf-8")
    (tmp_path / "k3s").mkdir()
    inventory = load(FULL, environ={"SECRET": "s3cret"})
    assert inventory.endpoint == PveEndpoint(
        url="https://pve.home.arpa:8006",
        token=ApiToken(user="automation@pve", name="homelab", secret="s3cret"),
        tls=TlsSpec(ca_file=tmp_path / "ca.pem"),
    )
    subnet = IPv4Network("192.168.30.0/24")
    assert inventory.spec == ClusterSpec(
        name=ClusterName("attic"),
        template=TemplateRef(tag="k3s"),
        clone=CloneMode.FULL,
        onboot=False,
        protect=True,
        api_name="api.home.arpa",
        labels_from_proxmox=False,
        control_plane=NodePool(
            name=CONTROL_PLANE_POOL,
            role=Role.CONTROL_PLANE,
            count=3,
            cores=4,
            memory_mib=4096,
            disk_gib=1024,
            cpu_type="host",
        ),
        workers=(
            NodePool(
                name=PoolName("workers"),
                role=Role.WORKER,
                count=2,
                cores=2,
                memory_mib=2048,
                disk_gib=20,
                labels=(("a", ""), ("b.example.com/zone", "2")),
                taints=(Taint(key="a", value="b", effect="NoSchedule"), Taint(key="z", effect="NoExecute")),
                stated=frozenset({"count"}),
            ),
            NodePool(
                name=PoolName("gpu"),
                role=Role.WORKER,
                count=1,
                cores=8,
                memory_mib=2048,
                disk_gib=20,
                stated=frozenset({"cores"}),
            ),
        ),
        network=NetworkSpec(
            bridge="vmbr1",
            vlan=30,
            addresses=StaticAddresses(
                first=IPv4Address("192.168.30.50"),
                last=IPv4Address("192.168.30.80"),
                subnet=subnet,
                gateway=IPv4Address("192.168.30.1"),
            ),
            subnet=subnet,
            dns=(IPv4Address("192.168.30.1"), IPv4Address("9.9.9.9"), IPv6Address("fd12::1")),
            search="home.arpa",
            macs=MacPolicy.STABLE,
        ),
        ssh=SshSpec(user="ops", port=2222, private_key=tmp_path / "keys/id", host_keys=HostKeyPolicy.ACCEPT_NEW),
        k3s=K3sSpec(
            version="v1.33.3+k3s1",
            artifacts=tmp_path / "k3s",
            releases_url="http://mirror.home.arpa:8080/k3s",
            channels_url="https://mirror.home.arpa/channels",
            tls_san=("k8s.home.arpa", "192.168.30.5", "fd00::5"),
            disable=("traefik", "servicelb"),
            cluster_cidr=IPv4Network("10.52.0.0/16"),
            service_cidr=IPv4Network("10.53.0.0/16"),
        ),
        sizing=SizingSpec(cpu_overcommit=2.5, memory_reserve_mib=4096, storage_reserve_gib=100),
        placement=PlacementSpec(
            pve_nodes=(PveNodeName("pve1"), PveNodeName("pve2")),
            storage=StorageName("local-lvm"),
            resource_pool="k8s",
            vmids=VmidRange(first=Vmid(8100), last=Vmid(8199)),
        ),
    )


def test_ten_mistakes_are_ten_problems_by_line() -> None:
    with pytest.raises(InventoryError) as caught:
        load_inventory(HERE / "ten-mistakes.yaml", environ={"LAB_TOKEN": ENVIRON["PROXMOX_VE_API_TOKEN"]})
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (2, "cluster"),
        (6, "proxmox.vmids"),
        (7, "onboot"),
        (9, "network.brigde"),
        (10, "network.addresses"),
        (12, "network.vlan"),
        (14, "control_plane.count"),
        (15, "control_plane.memory"),
        (19, "workers.cores"),
        (20, "workers.taints[0]"),
    ]
    assert all(problem.hint for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("debian-12", TemplateRef(name="debian-12")),
        ('"9000"', TemplateRef(name="9000")),
        ("9000", TemplateRef(vmid=Vmid(9000))),
        ("{name: x}", TemplateRef(name="x")),
        ("{tag: k3s}", TemplateRef(tag="k3s")),
        ("{vmid: 9000}", TemplateRef(vmid=Vmid(9000))),
    ],
)
def test_a_template_is_a_name_a_tag_or_a_vmid(load: Load, text: str, template: TemplateRef) -> None:
    assert load(f"template: {text}").spec.template == template


@pytest.mark.parametrize(
    ("text", "pools"),
    [
        ("workers: 0", [("workers", 0)]),
        ("workers: {cores: 4}", [("workers", 1)]),
        ("pools: {gpu: {}}", [("gpu", 1)]),
        ("pools: {b: {count: 2}, a: {}}\nworkers: 3", [("workers", 3), ("b", 2), ("a", 1)]),
    ],
)
def test_pools_stand_in_the_order_written_after_workers(load: Load, text: str, pools: list[tuple[str, int]]) -> None:
    assert [(pool.name, pool.count) for pool in load(text).spec.workers] == pools


@pytest.mark.parametrize("environ", [{}, {"PROXMOX_VE_API_TOKEN": ENVIRON["PROXMOX_VE_API_TOKEN"]}])
def test_with_nothing_set_up_init_comes_first(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said what keys lacked a value, and that an inventory was to be fixed that was not there."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InventoryError) as caught:
        load_inventory(None, environ=environ)
    (problem,) = caught.value.problems
    assert problem.path == "homelab-k8s.yaml"
    assert f"there is none in {tmp_path}" in problem.message
    assert caught.value.brief == "there is no inventory"
    assert caught.value.resolution.startswith("first run `homelab-k8s init`")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"no\.yaml: 1 problem: no such file"):
        load_inventory(tmp_path / "no.yaml", environ=ENVIRON)


def test_a_directory_instead_of_a_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="cannot be read: Is a directory"):
        load_inventory(tmp_path, environ=ENVIRON)


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("cluster: demo\n# Köln\n".encode("latin-1"))
    with pytest.raises(InventoryError) as caught:
        load_inventory(path, environ=ENVIRON)
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [(2, "byte 0xF6 is not UTF-8")]


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(InventoryError, match="more than 1048576 bytes"):
        load_inventory(path, environ=ENVIRON)


def test_problems_of_flags_and_environment_come_after_the_files(told: Told) -> None:
    problems = told(
        "clone: linkd\nonboot: 1\n",
        environ={**ENVIRON, "PROXMOX_VE_ENDPOINT": "192.0.2.10"},
        overrides=Overrides(workers=-1),
    )
    assert [(problem.line, problem.path) for problem in problems] == [
        (1, "clone"),
        (2, "onboot"),
        (None, "--workers"),
        (None, "PROXMOX_VE_ENDPOINT"),
    ]


@pytest.mark.parametrize(
    ("text", "reserve_gib"),
    [("0MiB", 0), ("1MiB", 1), ("512MiB", 1), ("1024MiB", 1), ("1500MiB", 2), ("20GiB", 20), ("1TiB", 1024)],
)
def test_a_storage_reserve_of_any_size_is_rounded_up(load: Load, text: str, reserve_gib: int) -> None:
    """Less than what is asked for is never left free."""
    assert load(f"sizing: {{storage_reserve: {text}}}\n").spec.sizing.storage_reserve_gib == reserve_gib


def test_flags_and_environment_alone_say_nothing_of_k3s_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not load_inventory(None, environ=ENVIRON).spec.states_settings
    (tmp_path / "homelab-k8s.yaml").write_text("cluster: demo\n")
    assert load_inventory(None, environ=ENVIRON).spec.states_settings

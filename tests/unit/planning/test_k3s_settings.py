"""k3s's settings as values: files, files together, and what k3s tells of its process (seen with v1.36.3)."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest

from bootstrap.k3s.settings import CONFIG, guest_settings, merged, parse_args, parse_file
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind, MachineSpec, Role, Taint
from bootstrap.model.observed import KubeNode, SettingsFile
from bootstrap.planning.settings.drift import runs_otherwise
from bootstrap.planning.settings.rollout import parse_taint
from tests.fakes.specs import cluster

SERVER = (
    '["server","--node-name","demo-cp-2","--node-ip","198.19.242.9","--server","https://198.19.247.67:6443",'
    '"--tls-san","198.19.242.9","--secrets-encryption","true"]'
)
AGENT = '["agent","--node-name","demo-workers-3","--node-ip","198.19.248.91","--server","https://198.19.247.67:6443"]'


def machine(name: str, role: Role, kind: MachineKind = MachineKind.VM) -> MachineSpec:
    return MachineSpec(
        name=MachineName(name), role=role, pool=cluster().control_plane.name, cores=2, memory_mib=2048, disk_gib=20,
        cpu_type="host", kind=kind,
    )  # fmt: skip


def node(name: str, address: str, args: str, *roles: str) -> KubeNode:
    return KubeNode(
        name=MachineName(name), ready=True, address=IPv4Address(address), roles=frozenset(roles),
        args=tuple(json.loads(args)),
    )  # fmt: skip


def test_a_real_server_and_a_real_agent_run_as_an_inventory_without_settings_says() -> None:
    for name, role, seen in (
        ("demo-cp-2", Role.CONTROL_PLANE, node("demo-cp-2", "198.19.242.9", SERVER, "control-plane", "etcd")),
        ("demo-workers-3", Role.WORKER, node("demo-workers-3", "198.19.248.91", AGENT)),
    ):
        files = guest_settings(MachineName(name), [], pending=False)
        assert runs_otherwise(cluster(), machine(name, role), seen, files) == ()


def test_a_container_runs_with_the_feature_gate_it_needs() -> None:
    args = AGENT.replace("]", ',"--kubelet-arg","feature-gates=KubeletInUserNamespace=true"]')
    files = guest_settings(MachineName("demo-workers-3"), [], pending=False)
    wanted = machine("demo-workers-3", Role.WORKER, MachineKind.LXC)
    assert runs_otherwise(cluster(), wanted, node("demo-workers-3", "198.19.248.91", args), files) == ()
    assert runs_otherwise(cluster(), wanted, node("demo-workers-3", "198.19.248.91", AGENT), files)


@pytest.mark.parametrize(
    ("args", "settings"),
    [
        (["server", "--disable", "traefik", "--disable", "servicelb"], {"disable": ("traefik", "servicelb")}),
        (["server", "--disable", "traefik,servicelb"], {"disable": ("traefik", "servicelb")}),
        (["server", "--debug", "--tls-san", "a"], {"debug": ("true",), "tls-san": ("a",)}),
        (["agent", "--kubelet-arg", "--v=4"], {"kubelet-arg": ("--v=4",)}),
        (["agent", "--kubelet-arg", "feature-gates=A=true,B=true"], {"kubelet-arg": ("feature-gates=A=true,B=true",)}),
        (["agent", "--node-label", "a="], {"node-label": ("a=",)}),
        (["server", "--etcd-s3-secret-key", "********"], {"etcd-s3-secret-key": ("********",)}),
        ([], {}),
    ],
)
def test_arguments(args: list[str], settings: dict[str, tuple[str, ...]]) -> None:
    assert parse_args(args) == settings


def test_a_file_is_read_as_k3s_reads_it() -> None:
    text = "disable: [traefik]\ncluster-init: yes\netcd-snapshot-retention: 5\ndebug:\nnode-label+: a=b\n"
    assert parse_file("x", text).settings == {
        "disable": ("traefik",),
        "cluster-init": ("true",),
        "etcd-snapshot-retention": ("5",),
        "debug": ("",),
        "node-label+": ("a=b",),
    }
    assert parse_file("x", "").settings == {}
    assert parse_file("x", "- a\n").settings is None
    assert parse_file("x", "a: [\n").settings is None


def test_later_files_replace_and_add() -> None:
    first = SettingsFile(name="10.yaml", settings={"disable": ("traefik",), "node-label+": ("a=b",)})
    second = SettingsFile(name="20.yaml", settings={"disable+": ("servicelb",), "token": ("x",)})
    assert merged({"disable": ("coredns",), "node-label": ("c=d",)}, [first, second]) == {
        "disable": ("traefik", "servicelb"),
        "node-label": ("c=d", "a=b"),
        "token": ("x",),
    }


def test_files_of_a_machine_are_taken_in_k3s_order() -> None:
    found = guest_settings(
        MachineName("demo-cp-1"),
        [(f"{CONFIG}.d/b.yaml", "debug: true"), (CONFIG, "disable: traefik"), (f"{CONFIG}.d/a.yml", "debug: false")],
        pending=True,
    )
    assert found.ours == {"disable": ("traefik",)}
    assert [file.name for file in found.others] == [f"{CONFIG}.d/a.yml", f"{CONFIG}.d/b.yaml"]
    assert "traefik" not in repr(found)
    assert found.pending


def test_taints_as_k3s_writes_them() -> None:
    assert parse_taint("gpu=yes:NoSchedule") == Taint(key="gpu", value="yes", effect="NoSchedule")
    assert parse_taint("gpu:NoExecute") == Taint(key="gpu", effect="NoExecute")
    assert parse_taint("nonsense") is None

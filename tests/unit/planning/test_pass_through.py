"""Settings in k3s's own keys: where they go, how they merge, and what k3s knows."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.k3s.config import machine_config, render_config
from bootstrap.k3s.pass_through.flags import AGENT_FLAGS, COMPONENTS, FLAGS, RESERVED, SERVER_FLAGS, notes_on_unknown
from bootstrap.k3s.pass_through.merge import pass_through
from bootstrap.lab.standin.settings.flags import flag_table
from bootstrap.model.cluster import BackupSpec, ClusterSpec, K3sSpec, S3Spec, VipSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.ipv6 import IPv6Spec
from bootstrap.model.machine import K3sSettings, MachineKind, MachineSpec, Role, Taint
from tests.fakes.specs import cluster

ADDRESS = IPv4Address("192.0.2.10")


def machine(role: Role, settings: K3sSettings = (), kind: MachineKind = MachineKind.VM) -> MachineSpec:
    return MachineSpec(
        name=MachineName("demo-1"), role=role, pool=cluster().control_plane.name, cores=2, memory_mib=2048, disk_gib=20,
        cpu_type="host", kind=kind, k3s_settings=settings, labels=(("disk", "ssd"),),
        taints=(Taint(key="gpu", effect="NoSchedule"),),
    )  # fmt: skip


def spec(*, servers: K3sSettings = (), everywhere: K3sSettings = ()) -> ClusterSpec:
    return replace(cluster(), k3s=K3sSpec(server_config=servers, agent_config=everywhere))


def test_the_lab_and_the_product_have_the_same_table_of_k3s_flags() -> None:
    assert dict(SERVER_FLAGS) == flag_table("server")
    assert dict(AGENT_FLAGS) == flag_table("agent")


def test_what_is_refused_is_a_setting_of_k3s() -> None:
    assert RESERVED.keys() <= FLAGS.keys()


def test_every_key_that_we_write_is_refused_but_what_users_may_extend() -> None:
    bucket = S3Spec(endpoint="minio:9000", bucket="b", access_key="a", secret_key="s", folder="f", retention=3,
                    insecure=True, skip_verify=True)  # fmt: skip
    whole = replace(
        cluster(3),
        vip=VipSpec(address=IPv4Address("192.0.2.5")),
        backup=BackupSpec(schedule="0 * * * *", retention=2, s3=bucket),
        k3s=K3sSpec(
            disable=("traefik",), disable_components=COMPONENTS, embedded_registry=True,
        ),
    )  # fmt: skip
    whole = replace(whole, network=replace(whole.network, ipv6=IPv6Spec()))
    written: set[str] = set()
    for role in Role:
        for join in (None, ADDRESS):
            for kind in MachineKind:
                config = machine_config(
                    whole, machine(role, kind=kind), address=ADDRESS, etcd=True, join=join, alone=True
                )
                written |= config.keys()
    assert written - RESERVED.keys() == {"kubelet-arg"}


def test_servers_get_all_three_and_workers_what_is_for_them() -> None:
    wanted = spec(
        servers=(("kube-apiserver-arg", ("event-ttl=2h",)),), everywhere=(("kubelet-arg", ("max-pods=200",)),)
    )
    own: K3sSettings = (("kubelet-arg+", ("v=2",)), ("node-external-ip", ("203.0.113.7",)))
    common = {"kubelet-arg": ["max-pods=200", "v=2"], "node-external-ip": ["203.0.113.7"]}
    assert pass_through(wanted, machine(Role.WORKER, own)) == common
    servers = pass_through(wanted, machine(Role.CONTROL_PLANE, own))
    assert servers == common | {"kube-apiserver-arg": ["event-ttl=2h"]}


def test_a_pools_key_without_plus_replaces() -> None:
    wanted = spec(everywhere=(("kubelet-arg", ("max-pods=200",)), ("debug", ("true",))))
    own: K3sSettings = (("kubelet-arg", ("v=2",)), ("debug", ("false",)))
    assert pass_through(wanted, machine(Role.WORKER, own)) == {"kubelet-arg": ["v=2"], "debug": False}


def test_servers_do_not_get_what_only_agents_take() -> None:
    wanted = spec(everywhere=(("disable-apiserver-lb", ("true",)),))
    assert pass_through(wanted, machine(Role.CONTROL_PLANE)) == {}
    assert pass_through(wanted, machine(Role.WORKER)) == {"disable-apiserver-lb": True}


def test_a_container_keeps_the_feature_gate_that_it_needs() -> None:
    wanted = spec(everywhere=(("kubelet-arg", ("max-pods=200",)),))
    lxc = machine(Role.WORKER, kind=MachineKind.LXC)
    config = machine_config(wanted, lxc, address=ADDRESS, etcd=False, join=ADDRESS)
    assert config["kubelet-arg"] == ["feature-gates=KubeletInUserNamespace=true", "max-pods=200"]


def test_the_file_is_yaml_that_means_what_was_written() -> None:
    wanted = spec(servers=(("write-kubeconfig-mode", ("0644",)), ("supervisor-metrics", ("true",))))
    text = render_config(wanted, machine(Role.CONTROL_PLANE), address=ADDRESS, etcd=False, join=None)
    assert yaml.safe_load(text)["write-kubeconfig-mode"] == "0644"
    assert yaml.safe_load(text)["supervisor-metrics"] is True


@given(
    st.lists(st.tuples(st.sampled_from(["kubelet-arg", "kubelet-arg+"]), st.lists(st.sampled_from("abc"), max_size=3)))
)
def test_merging_is_k3s_own(layers: list[tuple[str, list[str]]]) -> None:
    """k3s: `readConfigFile` in pkg/configfilearg/parser.go."""
    three = [(((key, tuple(values)),) if values else ()) for key, values in layers][:3]
    everywhere, pools = (*three, (), ())[:2]
    expected: list[str] = []
    for layer in (everywhere, pools):
        for key, values in layer:
            expected = [*expected, *values] if key.endswith("+") else list(values)
    found = pass_through(spec(everywhere=everywhere), machine(Role.WORKER, pools))
    assert found.get("kubelet-arg", []) == expected


def test_unknown_keys_are_told_with_what_was_meant() -> None:
    wanted = spec(servers=(("kube-apiserver-args", ("a=b",)), ("debug", ("true",))), everywhere=(("zzz", ("1",)),))
    meant, strange = notes_on_unknown(wanted)
    assert meant.startswith(
        "k3s.server_config: k3s v1.36 has no setting kube-apiserver-args (did you mean kube-apiserver-arg?)"
    )
    assert strange.startswith("k3s.agent_config: k3s v1.36 has no setting zzz;")
    assert notes_on_unknown(cluster()) == ()

"""The CNI plugin: k3s's settings, the manifest of its charts, and how its lack is put into words."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.k3s.config import machine_config
from bootstrap.k3s.early.cni import cni_manifest, cni_settings, lacks_cni, without_cni
from bootstrap.k3s.early.manifests import early_manifests
from bootstrap.lab.standin.settings.yaml_documents import read_documents
from bootstrap.model.cluster import ClusterSpec, K3sSpec, NetworkSpec
from bootstrap.model.ipv6 import IPv6Spec
from bootstrap.model.machine import MachineKind, Role
from bootstrap.model.settings.cni import CniSpec, CniType, FlannelBackend
from bootstrap.planning.settings.system import system_of
from tests.fakes.specs import cluster
from tests.unit.planning.test_pass_through import machine

CILIUM, CALICO, NONE = (CniSpec(type=kind) for kind in (CniType.CILIUM, CniType.CALICO, CniType.NONE))
WIREGUARD = CniSpec(backend=FlannelBackend.WIREGUARD)
REAL = (
    "KubeletNotReady: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)


def with_cni(cni: CniSpec, *, servers: int = 1, **network: Any) -> ClusterSpec:
    return replace(cluster(servers), network=NetworkSpec(cni=cni, **network))


def charts(spec: ClusterSpec) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The charts' specs and values."""
    found = [each["spec"] for each in yaml.safe_load_all(cni_manifest(spec))]
    return [(each, yaml.safe_load(each.get("valuesContent", "{}"))) for each in found]


@pytest.mark.parametrize(
    ("cni", "settings"),
    [
        (CniSpec(), {}),
        (WIREGUARD, {"flannel-backend": "wireguard-native"}),
        (CniSpec(backend=FlannelBackend.HOST_GW), {"flannel-backend": "host-gw"}),
        (NONE, {"flannel-backend": "none", "disable-network-policy": True}),
        (CALICO, {"flannel-backend": "none", "disable-network-policy": True}),
        (CILIUM, {"flannel-backend": "none", "disable-network-policy": True, "disable-kube-proxy": True}),
    ],
)
def test_servers_get_the_same_settings_and_agents_none(cni: CniSpec, settings: dict[str, object]) -> None:
    spec = with_cni(cni, servers=3)
    assert cni_settings(cni) == settings
    machines = [machine(role) for role in Role]
    configs = [machine_config(spec, each, address=IPv4Address("192.0.2.9"), etcd=True, join=None) for each in machines]
    keys = {"flannel-backend", "disable-network-policy", "disable-kube-proxy"}
    found = [{key: value for key, value in config.items() if key in keys} for config in configs]
    assert found == [settings if each.role is Role.CONTROL_PLANE else {} for each in machines]


@pytest.mark.parametrize("cni", [CniSpec(), WIREGUARD, NONE])
def test_only_charts_of_ours_lie_on_the_first_server(cni: CniSpec) -> None:
    assert early_manifests(with_cni(cni)) == {}


@given(
    cni=st.sampled_from([CILIUM, CALICO]),
    servers=st.sampled_from([1, 3]),
    mtu=st.none() | st.sampled_from([1, 1500, 9000]),
    ipv6=st.none() | st.just(IPv6Spec()),
)
def test_charts_are_pinned_and_may_run_before_nodes_are_ready(
    cni: CniSpec, servers: int, mtu: int | None, ipv6: IPv6Spec | None
) -> None:
    spec = with_cni(cni, servers=servers, mtu=mtu, ipv6=ipv6)
    (text,) = early_manifests(spec).values()
    assert read_documents(text) == list(yaml.safe_load_all(text)), "the lab reads it as Kubernetes does"
    for chart, _values in charts(spec):
        assert chart["bootstrap"] is True
        assert chart["version"]
        assert chart["repo"].startswith("https://")


def test_cilium_reaches_the_api_on_every_machine_without_kube_proxy() -> None:
    ((_, values),) = charts(with_cni(CILIUM, servers=3))
    assert values["kubeProxyReplacement"] is True
    assert (values["k8sServiceHost"], values["k8sServicePort"]) == ("127.0.0.1", 6444)
    assert values["ipam"] == {"mode": "kubernetes"}, "nodes' ranges, which k3s hands out of cluster-cidr"
    assert values["operator"]["replicas"] == 2
    assert "MTU" not in values
    ((_, values),) = charts(with_cni(CILIUM, mtu=9000, ipv6=IPv6Spec()))
    assert (values["MTU"], values["ipv6"], values["operator"]["replicas"]) == (9000, {"enabled": True}, 1)


def test_calico_gets_the_pods_networks_and_what_is_left_of_the_mtu() -> None:
    spec = with_cni(CALICO, mtu=9000, ipv6=IPv6Spec())
    spec = replace(spec, k3s=K3sSpec(cluster_cidr6=IPv6Network("2001:db8::/56")))
    (crds, _), (_, values) = charts(spec)
    assert crds["chart"] == "crd.projectcalico.org.v1"
    network = values["installation"]["calicoNetwork"]
    assert [(each["cidr"], each["natOutgoing"]) for each in network["ipPools"]] == [
        ("10.42.0.0/16", "Enabled"),
        ("2001:db8::/56", "Disabled"),
    ]
    assert network["mtu"] == 8950


def test_wireguards_module_is_loaded_before_k3s_but_not_by_containers() -> None:
    spec = with_cni(WIREGUARD)
    agent = machine(Role.WORKER)
    assert system_of(spec, agent).kernel_modules == ("wireguard",)
    assert system_of(spec, replace(agent, kind=MachineKind.LXC)).kernel_modules == ()
    assert system_of(with_cni(CILIUM), agent).kernel_modules == ()


def test_flannels_masquerading_is_flannels_alone() -> None:
    for cni, wanted in ((CniSpec(), True), (CILIUM, None)):
        config = machine_config(
            with_cni(cni, ipv6=IPv6Spec()),
            machine(Role.CONTROL_PLANE),
            address=IPv4Address("192.0.2.9"),
            etcd=False,
            join=None,
        )
        assert config.get("flannel-ipv6-masq") == wanted


def test_the_lack_of_a_cni_is_known_by_the_kubelets_words() -> None:
    assert lacks_cni(REAL)
    assert not lacks_cni("KubeletNotReady: PLEG is not healthy")
    assert without_cni(NONE) == "no CNI plugin runs there: install yours (network.cni is none)"
    assert "logs job/helm-install-cilium" in without_cni(CILIUM)

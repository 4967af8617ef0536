"""`network.cni` in the inventory, and what does not go with it."""

from __future__ import annotations

import pytest

from bootstrap.model.settings.cni import CniSpec, CniType, FlannelBackend
from tests.unit.inventory.kit import Load, Told


@pytest.mark.parametrize(
    ("text", "cni"),
    [
        ("network: {vlan: 3}", CniSpec()),
        ("network: {cni: cilium}", CniSpec(type=CniType.CILIUM)),
        ("network: {cni: {type: none}}", CniSpec(type=CniType.NONE)),
        ("network: {cni: {backend: wireguard-native}}", CniSpec(backend=FlannelBackend.WIREGUARD)),
        ("network: {cni: {type: flannel, backend: host-gw}}", CniSpec(backend=FlannelBackend.HOST_GW)),
    ],
)
def test_what_is_read(load: Load, text: str, cni: CniSpec) -> None:
    assert load(f"cluster: a\n{text}\n").spec.network.cni == cni


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("network: {cni: weave}", "network.cni", "flannel", ""),
        ("network: {cni: {backend: none}}", "network.cni.backend", "vxlan", ""),
        ("network: {cni: {type: calico, backend: vxlan}}", "network.cni.backend", "is flannel's", "remove it"),
        (
            "network: {cni: cilium}\nk3s: {disable_components: [helm-controller]}",
            "k3s.disable_components",
            "installs cilium with its Helm controller",
            "take helm-controller out",
        ),
        (
            "network: {cni: calico}\nworkers: {count: 1, machine: lxc}",
            "workers.machine",
            "needs rights in the kernel",
            "machine: vm",
        ),
        (
            "network: {cni: cilium}\nk3s: {agent_config: {lb-server-port: 7000}}",
            "k3s.agent_config",
            "k3s's load balancer on each machine, port 6444",
            "remove it",
        ),
        (
            "network: {cni: none}\nk3s: {agent_config: {flannel-iface: eth1}}",
            "k3s.agent_config",
            "flannel-iface is flannel's, and network.cni is none",
            "remove it",
        ),
        ("k3s: {server_config: {flannel-backend: none}}", "k3s.server_config.flannel-backend", "", "use network.cni"),
    ],
)
def test_what_is_refused(told: Told, text: str, path: str, message: str, hint: str) -> None:
    (problem,) = told(f"cluster: a\n{text}\n")
    assert problem.path == path
    assert message in problem.message
    assert hint in problem.hint


def test_components_may_be_disabled_beside_it(load: Load) -> None:
    assert load("cluster: a\nnetwork: {cni: none}\nk3s: {disable_components: [kube-proxy, helm-controller]}\n")

"""`k3s.server_config`, `k3s.agent_config` and a pool's `k3s`: what is read, what is refused, with what to use."""

from __future__ import annotations

import pytest

from bootstrap.k3s.pass_through.flags import RESERVED
from tests.unit.inventory.kit import Load, Told


def test_values_are_read_as_text(load: Load) -> None:
    found = load(
        "cluster: a\n"
        "k3s:\n"
        "  disable_components: [network-policy, kube-proxy]\n"
        "  server_config: {write-kubeconfig-mode: 0644, supervisor-metrics: true, kube-apiserver-arg: [a=b, c=d]}\n"
        "  agent_config: {kubelet-arg: max-pods=200}\n"
        "control_plane: {k3s: {v: 4}}\n"
        'workers: {k3s: {"kubelet-arg+": ["v=2"], node-external-ip: 203.0.113.7}}\n'
    ).spec
    assert found.k3s.disable_components == ("network-policy", "kube-proxy")
    assert found.k3s.server_config == (
        ("write-kubeconfig-mode", ("0644",)),
        ("supervisor-metrics", ("true",)),
        ("kube-apiserver-arg", ("a=b", "c=d")),
    )
    assert found.k3s.agent_config == (("kubelet-arg", ("max-pods=200",)),)
    assert found.control_plane.k3s_settings == (("v", ("4",)),)
    assert found.workers[0].k3s_settings == (("kubelet-arg+", ("v=2",)), ("node-external-ip", ("203.0.113.7",)))


def test_a_key_that_k3s_may_know_passes(load: Load) -> None:
    found = load("cluster: a\nk3s: {server_config: {brand-new: [1, 2]}}\n").spec
    assert found.k3s.server_config == (("brand-new", ("1", "2")),)


@pytest.mark.parametrize("key", sorted(RESERVED))
def test_keys_that_are_ours_are_refused_with_what_to_use(told: Told, key: str) -> None:
    for name in (key, f"{key}+"):
        (problem,) = told(f'cluster: a\nk3s:\n  server_config:\n    "{name}": x\n')
        assert (problem.path, problem.line) == (f"k3s.server_config.{name}", 4)
        assert problem.message == f"{key} is set by homelab-k8s"
        assert problem.hint


@pytest.mark.parametrize(
    ("where", "text", "message", "hint"),
    [
        ("k3s: {server_config: %s}", "{t: secret}", "token is set by homelab-k8s", "rotate token"),
        ("k3s: {server_config: %s}", "{tls-san: [a]}", "tls-san is set by homelab-k8s", "use k3s.tls_san"),
        (
            "k3s: {server_config: %s}",
            "{disable-kube-proxy: true}",
            "disable-kube-proxy is set by homelab-k8s",
            "use k3s.disable_components: [kube-proxy]",
        ),
        ("workers: {k3s: %s}", "{node-label: [a=b]}", "node-label is set by homelab-k8s", "use labels of the pool"),
        ("k3s: {agent_config: %s}", "{kube-apiserver-arg: [a=b]}", "servers only", "move it to k3s.server_config"),
        ("workers: {k3s: %s}", "{cluster-domain: home.arpa}", "servers only", "move it to k3s.server_config"),
        ("control_plane: {k3s: %s}", "{etcd-arg: [a=b]}", "servers only", "move it to k3s.server_config"),
        ("k3s: {server_config: %s}", "{disable-apiserver-lb: true}", "agents only", "k3s.agent_config"),
        ("k3s: {server_config: %s}", "{kube_apiserver_arg: [a]}", "is not a key of k3s", "kube-apiserver-arg?"),
        ("k3s: {server_config: %s}", "{cluster-domain: [a, b]}", "k3s takes one value", "cluster-domain: VALUE"),
        ("k3s: {server_config: %s}", "{cluster-domain+: a}", "k3s takes one value", "cluster-domain: VALUE"),
        ("k3s: {server_config: %s}", "{supervisor-metrics: 1}", "must be true or false", ""),
        ("k3s: {agent_config: %s}", "{kubelet-arg: {max-pods: 200}}", "not a mapping", ""),
        ("k3s: {agent_config: %s}", "{kubelet-arg: [[a]]}", "must be a list of single values", ""),
        ("k3s: {agent_config: %s}", '{kubelet-arg: ["--max-pods=200"]}', "dashes", "write max-pods=200"),
        ("k3s: {agent_config: %s}", '{kubelet-arg: "a=b\\nc"}', "on one line", ""),
        ("k3s: {agent_config: %s}", "{kubelet-arg: }", "has no value", ""),
        ("k3s: {agent_config: %s}", "{snapshotter: no}", "for a boolean", '"no"'),
        ("k3s: {agent_config: %s}", "{kubelet-arg: [a=b], kubelet-arg+: [c=d]}", "is there already", "one list"),
        ("k3s: {agent_config: %s}", "[kubelet-arg]", "must be a mapping, not a list", "such as"),
    ],
)
def test_what_is_refused(told: Told, where: str, text: str, message: str, hint: str) -> None:
    (problem,) = told(f"cluster: a\n{where % text}\n")
    assert message in problem.message
    assert hint in problem.hint


def test_components_are_a_few(told: Told) -> None:
    (problem,) = told("cluster: a\nk3s: {disable_components: [traefik]}\n")
    assert "one of network-policy, kube-proxy, helm-controller, cloud-controller, scheduler" in problem.message

"""server/manifests of the stand-in, and nodes that wait for a CNI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.lab.standin.settings.yaml_documents import read_documents
from tests.doubles.k3s.machines import Cluster, Machine, Machines, eventually

NO_CNI = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)
SAMPLE = """# A comment.
apiVersion: v1
metadata:
  name: "a b"   # trailing
  labels: {a: b, 'c': "d, e", f: [1, 2, x y], url: "http://x:1/y"}
spec:
  repo: https://example.org/
  numbers: [3, 1.5, 0x, 012a]
  empty: {}
  items:
  - a: 1
    b: 2
  - - x
    - y
  -
    c: d
  - 'it''s'
  valuesContent: |-
    a: 1

    # no comment
      b: 2
  more: |
    x
  fold: >-
    one
    two
  last: null
---
---
kind: Other
...
"""
TEXTS = st.text(alphabet="abz019 .:-#'\"{}[],/=&*!|>%@\n_", max_size=30)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3),
    max_leaves=12,
)


def test_yaml_of_manifests_is_read_as_yaml_reads_it() -> None:
    assert read_documents(SAMPLE) == [each for each in yaml.safe_load_all(SAMPLE) if each is not None]


@given(TREES)
def test_what_pyyaml_writes_is_read_back(tree: Any) -> None:
    text = yaml.safe_dump({"it": tree}, default_flow_style=False, width=2**16)
    try:
        found = read_documents(text)
    except ValueError:
        return  # a form that is not read here; never another meaning
    assert found == [{"it": tree}]


@pytest.mark.parametrize("text", ["a: &x 1", "a: {b", "a: 'b", "a: 1\na: 2", "a: 1\n b: 2\n", "- a\nb: 1\n"])
def test_what_is_not_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="yaml"):
        read_documents(text)


def chart(name: str, *, bootstrap: bool) -> dict[str, Any]:
    spec = {"chart": name, "repo": "https://example.org", "version": "1.2.3", "bootstrap": bootstrap}
    return {
        "apiVersion": "helm.cattle.io/v1", "kind": "HelmChart",
        "metadata": {"name": name, "namespace": "kube-system"}, "spec": spec,
    }  # fmt: skip


def put(server: Machine, name: str, *objects: dict[str, Any]) -> None:
    path: Path = server.server_dir / "manifests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all(objects))


def ready_message(cluster: Cluster, name: str) -> str:
    nodes = [node for node in cluster.core.list_node().items if node.metadata.name == name]
    return str(next((c.message for node in nodes for c in node.status.conditions or [] if c.type == "Ready"), ""))


def test_files_are_applied_at_the_start_and_nodes_wait_for_a_cni(machines: Machines) -> None:
    server = machines.add("s1")
    server.configure(bind_address=server.address, flannel_backend="none", disable_network_policy=True)
    put(server, "homelab-k8s-web.yaml", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}})
    put(server, "late.yaml", chart("cilium", bootstrap=False))
    put(server, ".hidden.yaml", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hidden"}})
    put(server, "bad.yaml", {"apiVersion": "v9", "kind": "Nothing", "metadata": {"name": "x"}})
    server.start("server")
    server.up()
    machines.agent("a1", server)
    cluster = Cluster(server)
    server.logs(r"no matches for kind \"Nothing\" in version \"v9\"")
    assert [each.metadata.name for each in cluster.core.list_namespaced_config_map("default").items] == ["web"]
    eventually(lambda: (ready_message(cluster, "s1"), ready_message(cluster, "a1")) == (NO_CNI, NO_CNI), "NotReady")
    add_ons = json.loads(cluster.kubectl("get", "addons", "-n", "kube-system", "-o", "json"))["items"]
    assert {each["metadata"]["name"]: "checksum" in each["spec"] for each in add_ons} == {
        "bad": False, "homelab-k8s-web": True, "late": True,
    }  # fmt: skip
    assert "True" not in cluster.ready().values(), "without bootstrap its job has no node to run on"
    put(server, "late.yaml", chart("tigera-operator", bootstrap=True))
    server.restart()
    cluster.wait_ready("s1", "a1")
    nodes = cluster.core.list_node().items
    assert not any("flannel" in key for node in nodes for key in node.metadata.annotations)
    cluster.close()


def test_nodes_wait_for_a_cloud_controller_of_the_users(machines: Machines) -> None:
    external = {"kubelet_arg": ["cloud-provider=external"]}
    server = machines.server("s1", disable_cloud_controller=True, **external)
    machines.agent("a1", server, **external)
    cluster = Cluster(server)
    cluster.wait_ready("s1", "a1")
    for node in cluster.core.list_node().items:
        taint = ("node.cloudprovider.kubernetes.io/uninitialized", "true", "NoSchedule")
        assert [(each.key, each.value, each.effect) for each in node.spec.taints] == [taint]
        assert node.spec.provider_id is None
    name = "oci://example.org/charts/proxmox-cloud-controller-manager"
    wanted = chart(name, bootstrap=True) | {"metadata": {"name": "ccm", "namespace": "kube-system"}}
    put(server, "ccm.yaml", wanted)
    server.restart()
    eventually(lambda: not any(node.spec.taints for node in cluster.core.list_node().items), "initialized")
    found = {node.metadata.name: node.spec.provider_id for node in cluster.core.list_node().items}
    assert found == {"s1": "proxmox://standin/s1", "a1": "proxmox://standin/a1"}
    cluster.close()

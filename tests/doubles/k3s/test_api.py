"""The stand-in's API, seen through the Kubernetes client, the real kubectl and plain HTTPS."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, watch

from tests.doubles.k3s.machines import KUBECTL, TOKEN, Cluster, Machine, eventually


def ask(server: Machine, path: str, credentials: str = "") -> tuple[int, str, str]:
    """Status, body and content type of a request without a client certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    headers = {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"} if credentials else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(server.url + path, headers=headers), context=context) as r:
            return r.status, r.read().decode(), r.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]


def test_nodes_look_as_k3s_nodes_do(small: Cluster) -> None:
    nodes = {node.metadata.name: node for node in small.core.list_node().items}
    assert set(nodes) == {"s1", "a1", "a2"}, "node names are lower-cased"
    agent = nodes["a1"]
    labels, annotations = agent.metadata.labels, agent.metadata.annotations
    assert labels["kubernetes.io/hostname"] == "a1"
    assert labels["node.kubernetes.io/instance-type"] == "k3s"
    assert labels["beta.kubernetes.io/arch"] == labels["kubernetes.io/arch"]
    assert (labels["disk"], labels["node.kubernetes.io/pool"]) == ("ssd", "a")
    assert not [key for key in labels if key.startswith("node-role")]
    assert [(t.key, t.value, t.effect) for t in agent.spec.taints] == [("dedicated", "db", "NoSchedule")]
    assert agent.spec.provider_id == "k3s://a1"
    assert re.fullmatch(r"10\.42\.\d+\.0/24", agent.spec.pod_cidr)
    assert len({node.spec.pod_cidr for node in nodes.values()}) == 3
    assert {a.type: a.address for a in agent.status.addresses}["ExternalIP"] == "198.51.100.7"
    assert annotations["k3s.io/hostname"] == "a1"
    assert annotations["alpha.kubernetes.io/provided-node-ip"] == annotations["k3s.io/internal-ip"]
    assert json.loads(annotations["flannel.alpha.coreos.com/backend-data"])["VNI"] == 1
    assert agent.metadata.finalizers == nodes["s1"].metadata.finalizers == ["wrangler.cattle.io/node"]
    assert "********" in annotations["k3s.io/node-args"]
    assert TOKEN not in json.dumps(annotations)
    eventually(
        lambda: small.core.read_node("s1").metadata.labels.get("node-role.kubernetes.io/control-plane") == "true",
        "the server's role label",
    )
    assert "node-role.kubernetes.io/etcd" not in nodes["s1"].metadata.labels


def test_every_node_says_that_it_is_a_stand_in(small: Cluster) -> None:
    shown = small.kubectl("get", "nodes", "-o", "wide")
    assert shown.count("k3s stand-in") == 3
    assert len(re.findall(r"^\S+ +Ready .*v1\.33\.3\+k3s1", shown, re.MULTILINE)) == 3


def test_its_own_kubectl_prints_what_the_real_one_prints(small: Cluster) -> None:
    def without_ages(text: str) -> list[list[str]]:
        return [[re.sub(r"^\d+[smh].*", "AGE", word) for word in line.split()] for line in text.splitlines()]

    own = small.server.run("kubectl", "get", "nodes", "-o", "wide")
    assert own.returncode == 0, own.stderr
    assert without_ages(own.stdout) == without_ages(small.kubectl("get", "nodes", "-o", "wide"))
    secrets = small.server.run("kubectl", "get", "secrets", "-A").stdout.splitlines()
    assert [line.split()[:2] for line in secrets[:2]] == [
        ["NAMESPACE", "NAME"],
        ["kube-system", "a1.node-password.k3s"],
    ]
    assert small.server.run("kubectl", "get", "--raw", "/readyz").stdout == "ok"
    node = json.loads(small.server.run("kubectl", "get", "node", "a1", "-o", "json").stdout)
    assert node["kind"] == "Node"
    assert node["metadata"]["name"] == "a1"
    missing = small.server.run("kubectl", "get", "node", "a9")
    assert (missing.returncode, missing.stderr) == (1, 'Error from server (NotFound): nodes "a9" not found\n')


def test_token_is_the_hash_of_what_cacerts_serves(small: Cluster) -> None:
    status, body, content_type = ask(small.server, "/cacerts")
    token = (small.server.server_dir / "token").read_text()
    assert (status, content_type) == (200, "text/plain")
    assert token == f"K10{hashlib.sha256(body.encode()).hexdigest()}::server:{TOKEN}\n"
    assert (small.server.server_dir / "node-token").resolve() == small.server.server_dir / "token"
    assert (small.server.server_dir / "token").stat().st_mode & 0o777 == 0o600
    assert small.server.server_dir.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("path", "credentials", "expected"),
    [
        ("/ping", "", (200, "pong")),
        ("/readyz", "", (401, "Unauthorized")),
        ("/version", "", (401, "Unauthorized")),
        ("/api/v1/nodes", "", (401, "Unauthorized")),
        ("/v1-k3s/config", "", (403, "forbidden")),
        ("/db/info", "", (403, "forbidden")),
        ("/v1-k3s/config", "node:wrong", (401, "not authorized")),
        ("/v1-k3s/config", f"node:{TOKEN}", (200, "cluster-cidr")),
        ("/v1-k3s/server-bootstrap", f"node:{TOKEN}", (403, "forbidden")),
        ("/v1-k3s/server-bootstrap", f"server:{TOKEN}", (200, "client-ca.key")),
    ],
)
def test_who_may_ask_what(small: Cluster, path: str, credentials: str, expected: tuple[int, str]) -> None:
    status, body, _ = ask(small.server, path, credentials)
    assert status == expected[0]
    if status in (401, 403):
        told = json.loads(body)
        assert (told["kind"], told["status"], told["code"], told["message"]) == ("Status", "Failure", *expected)
    else:
        assert expected[1] in body


def test_kubeconfig_is_k3s_own(small: Cluster) -> None:
    content = yaml.safe_load(small.server.kubeconfig.read_text())
    names = {content["clusters"][0]["name"], content["users"][0]["name"], content["contexts"][0]["name"]}
    assert names == {content["current-context"]} == {"default"}
    assert small.server.kubeconfig.stat().st_mode & 0o777 == 0o640
    certificate = base64.b64decode(content["users"][0]["user"]["client-certificate-data"])
    command = ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-checkend", str(364 * 86400)]
    shown = subprocess.run(command, input=certificate, capture_output=True, check=True)
    assert b"CN=system:admin,O=system:masters" in shown.stdout


def test_serving_certificate_holds_what_clients_connect_to(small: Cluster) -> None:
    pem = (small.server.server_dir / "tls/serving-kube-apiserver.crt").read_bytes()
    shown = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"],
                           input=pem, capture_output=True, check=True).stdout.decode()  # fmt: skip
    wanted = (
        "DNS:k8s.example",
        "DNS:s1",
        f"IP Address:{small.server.address}",
        "IP Address:127.0.0.1",
        "DNS:localhost",
    )
    assert [name for name in wanted if name not in shown] == []


def test_a_client_that_checks_strictly_accepts_the_certificates(small: Cluster) -> None:
    context = ssl.create_default_context(cafile=str(small.server.server_dir / "tls/server-ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with urllib.request.urlopen(f"{small.server.url}/ping", context=context) as reply:
        assert reply.read() == b"pong"


def test_cordon_label_and_taint_by_the_real_kubectl(small: Cluster) -> None:
    small.kubectl("cordon", "a2")
    small.kubectl("taint", "node", "a2", "one=1:NoSchedule", "two=2:NoExecute")
    small.kubectl("label", "node", "a2", "color=red")
    assert "Ready,SchedulingDisabled" in small.kubectl("get", "node", "a2")
    keys = {taint.key for taint in small.core.read_node("a2").spec.taints}
    assert keys == {"dedicated", "one", "two", "node.kubernetes.io/unschedulable"}
    assert small.kubectl("get", "nodes", "-l", "color in (red,blue),disk=ssd", "-o", "name") == "node/a2\n"
    small.kubectl("uncordon", "a2")
    small.kubectl("taint", "node", "a2", "one-", "two-")
    small.kubectl("label", "node", "a2", "color-")
    assert [taint.key for taint in small.core.read_node("a2").spec.taints] == ["dedicated"]
    assert small.kubectl("get", "nodes", "-l", "color", "-o", "name") == ""


def test_status_patch_merges_conditions_by_type(small: Cluster) -> None:
    added = {"type": "Custom", "status": "True", "reason": "Because", "message": ""}
    small.core.patch_node_status("a2", {"status": {"conditions": [added]}})
    kinds = [c.type for c in small.core.read_node("a2").status.conditions]
    assert sorted(kinds) == ["Custom", "DiskPressure", "MemoryPressure", "NetworkUnavailable", "PIDPressure", "Ready"]


def changes(listing: Callable[..., object], *arguments: object, **options: object) -> Iterator[Any]:
    """The events of a watch."""
    make_watch: Any = watch.Watch
    stream = make_watch().stream(listing, *arguments, **options)
    with contextlib.closing(stream):
        yield from stream


def test_watch_reports_changes_and_resumes_from_a_version(small: Cluster) -> None:
    name, core = "watched", small.core
    seen: list[tuple[str, str]] = []
    begun, done = threading.Event(), threading.Event()

    def follow() -> None:
        for event in changes(core.list_namespaced_config_map, "default", timeout_seconds=20):
            seen.append((event["type"], event["object"].metadata.name))
            begun.set()
            if event["type"] == "DELETED":
                break
        done.set()

    first = core.create_namespaced_config_map("default", {"metadata": {"name": "here-before"}})
    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(60)
    core.create_namespaced_config_map("default", {"metadata": {"name": name}, "data": {"a": "1"}})
    core.patch_namespaced_config_map(name, "default", {"data": {"a": "2"}})
    core.delete_namespaced_config_map(name, "default")
    assert done.wait(60)
    thread.join()
    assert seen == [("ADDED", "here-before"), ("ADDED", name), ("MODIFIED", name), ("DELETED", name)]

    version = first.metadata.resource_version
    stream = changes(core.list_namespaced_config_map, "default", timeout_seconds=1, resource_version=version)
    assert [event["type"] for event in stream] == ["ADDED", "MODIFIED", "DELETED"]


def test_watch_from_a_forgotten_version_is_gone(small: Cluster) -> None:
    with pytest.raises(client.ApiException) as caught:
        list(changes(small.core.list_node, resource_version="-1", timeout_seconds=2))
    assert caught.value.status == 410


def test_kubectl_waits_and_deletes(small: Cluster) -> None:
    waited = small.kubectl("wait", "--for=condition=Ready", "node/a1", "--timeout=60s")
    assert waited == "node/a1 condition met\n"
    small.core.create_namespace({"metadata": {"name": "short-lived"}})
    small.core.create_namespaced_secret("short-lived", {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert base64.b64decode(small.core.read_namespaced_secret("s", "short-lived").data["k"]) == b"v"
    small.kubectl("delete", "namespace", "short-lived", "--timeout=60s")
    assert small.core.list_secret_for_all_namespaces(field_selector="metadata.namespace=short-lived").items == []


def expect(status: int, reason: str, call: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(client.ApiException) as caught:
        call(*arguments)
    assert (caught.value.status, json.loads(caught.value.body or "{}")["reason"]) == (status, reason)


def test_errors_are_kubernetes_errors(small: Cluster) -> None:
    core = small.core
    body = {"metadata": {"name": "fixed"}, "immutable": True, "data": {"a": "1"}}
    made = core.create_namespaced_config_map("default", body)
    expect(409, "AlreadyExists", core.create_namespaced_config_map, "default", body)
    expect(422, "Invalid", core.patch_namespaced_config_map, "fixed", "default", {"data": {"a": "2"}})
    expect(404, "NotFound", core.read_namespaced_config_map, "none", "default")
    expect(404, "NotFound", core.create_namespaced_config_map, "no-such-namespace", body)
    core.patch_namespaced_config_map("fixed", "default", {"metadata": {"labels": {"x": "y"}}})
    made.metadata.labels = {"stale": "write"}
    expect(409, "Conflict", core.replace_namespaced_config_map, "fixed", "default", made)


def test_a_finalizer_holds_an_object_until_it_is_taken_off(small: Cluster) -> None:
    core = small.core
    core.create_namespaced_config_map("default", {"metadata": {"name": "held", "finalizers": ["example.org/x"]}})
    core.delete_namespaced_config_map("held", "default")
    assert core.read_namespaced_config_map("held", "default").metadata.deletion_timestamp
    core.patch_namespaced_config_map("held", "default", [{"op": "remove", "path": "/metadata/finalizers/0"}])
    expect(404, "NotFound", core.read_namespaced_config_map, "held", "default")


def test_discovery_serves_kubectl_and_the_groups(small: Cluster) -> None:
    names = small.kubectl("api-resources", "--no-headers", "-o", "name").split()
    assert {"nodes", "pods", "leases.coordination.k8s.io", "deployments.apps", "poddisruptionbudgets.policy"} <= set(
        names
    )
    assert client.AppsV1Api(small.api_client).list_deployment_for_all_namespaces().items == []
    assert client.PolicyV1Api(small.api_client).list_pod_disruption_budget_for_all_namespaces().items == []
    coordination: Any = client.CoordinationV1Api(small.api_client)
    leases = coordination.list_namespaced_lease("kube-node-lease").items
    assert {lease.metadata.name for lease in leases} == {"s1", "a1", "a2"}


def test_kubectl_creates_from_a_file(small: Cluster, tmp_path: Path) -> None:
    manifest = tmp_path / "web.yaml"
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
                 "template": {"metadata": {"labels": {"app": "web"}},
                              "spec": {"containers": [{"name": "web", "image": "example.org/web:1"}]}}},
    }  # fmt: skip
    manifest.write_text(yaml.safe_dump(deployment))
    small.kubectl("apply", "--validate=false", "-f", str(manifest))
    assert small.kubectl("get", "deployment", "web", "-o", "name") == "deployment.apps/web\n"
    assert KUBECTL.exists()

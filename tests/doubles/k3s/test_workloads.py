"""Pods, their controllers and their disruption budgets, seen through the Kubernetes client and the real kubectl."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.doubles.k3s.machines import KUBECTL, Cluster, Machines, eventually
from tests.doubles.k3s.test_life import IMPATIENT

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    machines = Machines(tmp_path_factory.mktemp("workloads"))
    yield machines
    machines.stop()


@pytest.fixture(scope="module")
def cluster(made: Machines) -> Iterator[Cluster]:
    """One server that takes no pods of others, and three agents, all of them quick to be missed."""
    server = made.server("s1", node_taint=["only=server:NoSchedule"], **IMPATIENT)
    for name in ("a1", "a2", "a3"):
        made.agent(name, server, kubelet_arg=IMPATIENT["kubelet_arg"])
    found = Cluster(server)
    found.wait_ready("s1", "a1", "a2", "a3")
    yield found
    found.close()


@pytest.fixture
def space(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"space-{next(_numbers)}"
    cluster.core.create_namespace({"metadata": {"name": name}})
    yield name
    cluster.core.delete_namespace(name)


def pods_of(cluster: Cluster, space: str) -> list[Any]:
    found: list[Any] = cluster.core.list_namespaced_pod(space).items
    return found


def is_ready(pod: Any) -> bool:
    conditions = {c.type: c.status for c in pod.status.conditions or []}
    return conditions.get("Ready") == "True" and not pod.metadata.deletion_timestamp


def running(cluster: Cluster, space: str, count: int) -> list[Any]:
    """Wait until there are so many pods, all of them Ready."""

    def look() -> list[Any]:
        pods = pods_of(cluster, space)
        return pods if len(pods) == count and all(is_ready(pod) for pod in pods) else []

    return eventually(look, f"{count} pods are Ready in {space}")


def apply(cluster: Cluster, folder: Path, space: str, *objects: dict[str, Any]) -> None:
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    cluster.kubectl("apply", "--validate=false", "-n", space, "-f", str(path))


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "main", "image": "example.org/web:1"}], **spec.pop("pod", {})}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}}  # fmt: skip


def budget(name: str, **limit: Any) -> dict[str, Any]:
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": name}}, **limit}}  # fmt: skip


def evict(cluster: Cluster, pod: Any) -> tuple[int, dict[str, Any]]:
    """The status code of an eviction, and the Status object it was answered with."""
    body = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod.metadata.name, namespace=pod.metadata.namespace))
    try:
        done = cluster.core.create_namespaced_pod_eviction(
            pod.metadata.name, pod.metadata.namespace, body, _preload_content=False
        )
    except client.ApiException as error:
        return int(error.status), json.loads(error.body or "{}")
    return int(done.status), json.loads(done.data)


def test_deployment_runs_its_pods_spread_over_the_nodes_that_take_them(
    cluster: Cluster, space: str, tmp_path: Path
) -> None:
    apply(cluster, tmp_path, space, workload("Deployment", "web", replicas=6))
    pods = running(cluster, space, 6)
    assert Counter(pod.spec.node_name for pod in pods) == {"a1": 2, "a2": 2, "a3": 2}
    assert len({pod.status.pod_ip for pod in pods}) == 6
    assert 'deployment "web" successfully rolled out' in cluster.kubectl(
        "rollout", "status", "-n", space, "deployment/web", "--timeout=60s"
    )
    shown = cluster.kubectl("get", "pods", "-n", space, "-o", "wide")
    assert shown.count("1/1") == 6
    assert shown.count("Running") == 6
    web: Any = client.AppsV1Api(cluster.api_client).read_namespaced_deployment("web", space)
    assert [(c.type, c.status, c.reason) for c in web.status.conditions] == [
        ("Available", "True", "MinimumReplicasAvailable")
    ]


def test_deployment_replaces_scales_rolls_and_takes_its_pods_along(
    cluster: Cluster, space: str, tmp_path: Path
) -> None:
    apply(cluster, tmp_path, space, workload("Deployment", "web", replicas=2))
    first = running(cluster, space, 2)
    # Kubernetes counts a pod's age in whole seconds.
    made_at_s = max(pod.metadata.creation_timestamp.timestamp() for pod in first)
    eventually(lambda: time.time() >= made_at_s + 1, "the next second")
    cluster.core.delete_namespaced_pod(first[0].metadata.name, space)
    second = eventually(
        lambda: [p for p in running(cluster, space, 2) if p.metadata.uid not in {q.metadata.uid for q in first}],
        "a new pod",
    )
    assert second[0].metadata.owner_references[0].kind == "ReplicaSet"
    apps: Any = client.AppsV1Api(cluster.api_client)
    apps.patch_namespaced_deployment("web", space, {"spec": {"replicas": 1}})
    kept = running(cluster, space, 1)[0]
    assert kept.metadata.uid in {pod.metadata.uid for pod in first}, "the newest goes first"
    cluster.kubectl("rollout", "restart", "-n", space, "deployment/web")
    cluster.kubectl("rollout", "status", "-n", space, "deployment/web", "--timeout=60s")
    assert running(cluster, space, 1)[0].metadata.uid != kept.metadata.uid
    apps.delete_namespaced_deployment("web", space)
    eventually(lambda: not pods_of(cluster, space), "the pods go with their deployment")
    assert apps.list_namespaced_replica_set(space).items == []


def test_a_pod_ends_gracefully_and_a_finalizer_holds_it(cluster: Cluster, space: str) -> None:
    slow = {"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}
    spec = {"containers": [{"name": "main", "image": "i", **slow}], "nodeName": "s1"}
    cluster.core.create_namespaced_pod(space, {"metadata": {"name": "slow"}, "spec": spec})
    assert running(cluster, space, 1)[0].spec.node_name == "s1"
    deleted = cluster.core.delete_namespaced_pod("slow", space)
    assert deleted.metadata.deletion_grace_period_seconds == 30
    assert "Terminating" in cluster.kubectl("get", "pod", "slow", "-n", space)
    eventually(lambda: not pods_of(cluster, space), "it ended")
    body = {"metadata": {"name": "held", "finalizers": ["example.org/x"]}, "spec": spec}
    cluster.core.create_namespaced_pod(space, body)
    running(cluster, space, 1)
    cluster.core.delete_namespaced_pod("held", space, grace_period_seconds=0)
    assert pods_of(cluster, space)[0].metadata.deletion_timestamp
    cluster.core.patch_namespaced_pod("held", space, [{"op": "remove", "path": "/metadata/finalizers"}])
    eventually(lambda: not pods_of(cluster, space), "nothing holds it any more")


def test_unschedulable_pod_says_why_and_is_bound_once_it_can_be(cluster: Cluster, space: str, tmp_path: Path) -> None:
    apply(cluster, tmp_path, space, workload("Deployment", "db", pod={"nodeSelector": {"disk": "ssd"}}))

    def reason() -> str:
        found = [c for pod in pods_of(cluster, space) for c in pod.status.conditions or []]
        return found[0].message if found else ""

    text = eventually(reason, "the scheduler says why")
    assert text.startswith("0/4 nodes are available: ")
    assert "3 node(s) didn't match Pod's node affinity/selector" in text
    assert "1 node(s) had untolerated taint {only: server}" in text
    cluster.core.patch_node("a2", {"metadata": {"labels": {"disk": "ssd"}}})
    assert running(cluster, space, 1)[0].spec.node_name == "a2"


def test_daemon_set_runs_on_every_node_it_tolerates_cordoned_or_not(
    cluster: Cluster, space: str, tmp_path: Path
) -> None:
    cluster.kubectl("cordon", "a1")
    apply(cluster, tmp_path, space, workload("DaemonSet", "log"), workload("Deployment", "web", replicas=2))
    names = {pod.spec.node_name for pod in running(cluster, space, 5) if pod.metadata.labels["app"] == "log"}
    others = {pod.spec.node_name for pod in pods_of(cluster, space) if pod.metadata.labels["app"] == "web"}
    assert (names, others) == ({"a1", "a2", "a3"}, {"a2", "a3"})
    cluster.kubectl("uncordon", "a1")


def test_eviction_keeps_to_the_disruption_budget(cluster: Cluster, space: str, tmp_path: Path) -> None:
    apply(cluster, tmp_path, space, workload("Deployment", "web", replicas=2), budget("web", minAvailable=2))
    pods = running(cluster, space, 2)
    policy: Any = client.PolicyV1Api(cluster.api_client)

    def counts() -> tuple[int, ...]:
        status = policy.read_namespaced_pod_disruption_budget("web", space).status
        return (status.disruptions_allowed, status.current_healthy, status.desired_healthy, status.expected_pods)

    eventually(lambda: counts() == (0, 2, 2, 2), "the budget's status")
    code, answer = evict(cluster, pods[0])
    assert (code, answer["reason"]) == (429, "TooManyRequests")
    assert answer["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert answer["details"]["causes"] == [
        {"reason": "DisruptionBudget", "message": "The disruption budget web needs 2 healthy pods and has 2 currently"}
    ]
    policy.patch_namespaced_pod_disruption_budget("web", space, {"spec": {"minAvailable": "50%"}})
    assert evict(cluster, pods[0])[0] == 201
    assert evict(cluster, pods[1])[0] == 429, "the other one is not replaced yet"
    running(cluster, space, 2)
    eventually(lambda: counts() == (1, 2, 1, 2), "the budget's status")
    assert evict(cluster, pods[1])[0] == 201


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        ({"maxUnavailable": 1}, 1),
        ({"maxUnavailable": "50%"}, 2),
        ({"minAvailable": "50%"}, 1),
        ({"minAvailable": 4}, 0),
    ],
)
def test_budgets_count_as_kubernetes_does(
    cluster: Cluster, space: str, tmp_path: Path, limit: dict[str, Any], allowed: int
) -> None:
    apply(cluster, tmp_path, space, workload("Deployment", "web", replicas=3), budget("web", **limit))
    running(cluster, space, 3)
    policy: Any = client.PolicyV1Api(cluster.api_client)
    eventually(
        lambda: policy.read_namespaced_pod_disruption_budget("web", space).status.disruptions_allowed == allowed,
        f"{allowed} disruptions are allowed by {limit}",
    )


def test_kubectl_drains_a_node_but_for_daemon_sets_and_budgets(cluster: Cluster, space: str, tmp_path: Path) -> None:
    apply(cluster, tmp_path, space, workload("Deployment", "web", replicas=3), workload("DaemonSet", "log"),
          budget("web", maxUnavailable=0))  # fmt: skip
    running(cluster, space, 6)
    words = ["drain", "a2", "--ignore-daemonsets", "--pod-selector=app=web", "--timeout=2s"]
    refused = subprocess.run(
        [str(KUBECTL), "--kubeconfig", str(cluster.server.kubeconfig), *words],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget" in refused.stderr
    cluster.kubectl("delete", "-n", space, "pdb", "web")
    cluster.kubectl("drain", "a2", "--ignore-daemonsets", "--timeout=60s")
    placed = Counter((pod.metadata.labels["app"], pod.spec.node_name) for pod in running(cluster, space, 6))
    assert placed["web", "a2"] == 0
    assert placed["log", "a2"] == 1
    cluster.kubectl("uncordon", "a2")


def test_pods_of_a_silent_node_stay_and_those_of_a_deleted_one_go(
    made: Machines, cluster: Cluster, space: str, tmp_path: Path
) -> None:
    short = {"tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]}
    apply(cluster, tmp_path, space, workload("Deployment", "web", replicas=3, pod=short))
    lost = {pod.spec.node_name: pod.metadata.name for pod in running(cluster, space, 3)}["a3"]
    agent = next(machine for machine in made.all if machine.name == "a3")
    agent.kill()
    eventually(lambda: cluster.ready()["a3"] == "Unknown", "the node is Unknown")
    eventually(lambda: not is_ready(cluster.core.read_namespaced_pod(lost, space)), "its pod is not Ready")
    cluster.core.delete_namespaced_pod(lost, space)
    eventually(lambda: sum(is_ready(pod) for pod in pods_of(cluster, space)) == 3, "another pod took its place")
    assert cluster.core.read_namespaced_pod(lost, space).metadata.deletion_timestamp, "no kubelet ends it"
    cluster.kubectl("delete", "node", "a3")
    running(cluster, space, 3)
    agent.start("agent")
    cluster.wait_ready("a3")


def test_a_taint_drives_pods_out(cluster: Cluster, space: str, tmp_path: Path) -> None:
    apply(cluster, tmp_path, space, workload("Deployment", "web", replicas=3))
    running(cluster, space, 3)
    cluster.kubectl("taint", "node", "a1", "out=now:NoExecute")
    eventually(lambda: {pod.spec.node_name for pod in running(cluster, space, 3)} == {"a2", "a3"}, "a1 is empty")
    cluster.kubectl("taint", "node", "a1", "out-")

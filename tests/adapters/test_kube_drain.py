"""Draining over the Kubernetes adapter, on the k3s stand-in: its controllers, its budgets, its kubelets."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap.adapters.kube import KubernetesApis
from bootstrap.adapters.kube.api import KubernetesApi
from bootstrap.adapters.local.clock import SystemClock
from bootstrap.errors import DrainError
from bootstrap.execution.k3s.drain import Drained, evict_all
from bootstrap.k3s.kubeconfig.build import build_kubeconfig
from bootstrap.model.ids import MachineName
from bootstrap.planning.day2_steps import Drain
from bootstrap.waiting import WaitContext
from tests.doubles.k3s.machines import Cluster, Machines, eventually
from tests.doubles.k3s.test_life import IMPATIENT

A1, A2 = MachineName("a1"), MachineName("a2")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    made = Machines(tmp_path_factory.mktemp("drain"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def cluster(machines: Machines) -> Iterator[Cluster]:
    """A server that takes no pods of others, and two agents."""
    server = machines.server("s1", node_taint=["only=server:NoSchedule"], **IMPATIENT)
    for name in (A1, A2):
        machines.agent(name, server, kubelet_arg=IMPATIENT["kubelet_arg"])
    found = Cluster(server)
    found.wait_ready("s1", A1, A2)
    yield found
    found.close()


@pytest.fixture
def api(cluster: Cluster) -> Iterator[KubernetesApi]:
    text = build_kubeconfig(
        cluster.server.kubeconfig.read_text(), name="demo", server_url=cluster.server.url, source="s1"
    )
    api = KubernetesApis().connect(text)
    yield api
    for name in (A1, A2):
        api.set_unschedulable(name, unschedulable=False)
    api.close()


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"space-{abs(hash(request.node.name))}"
    cluster.core.create_namespace({"metadata": {"name": name}})
    yield name
    cluster.core.delete_namespace(name)
    # Pods that still end count where the next test's are placed.
    eventually(lambda: not cluster.core.list_namespaced_pod(name).items, "the pods are gone")


def workload(kind: str, name: str, *, replicas: int | None = None, **pod: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "example.org/web:1"}], **pod},
    }
    count = {} if replicas is None else {"replicas": replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **count},
    }


def budget(name: str, **limit: int) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, **limit},
    }


def apply(cluster: Cluster, folder: Path, space: str, *objects: dict[str, Any]) -> None:
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    cluster.kubectl("apply", "--validate=false", "-n", space, "-f", str(path))


def placed(cluster: Cluster, space: str) -> Counter[tuple[str, str]]:
    """How many Ready pods of which app are on which node."""
    return Counter(
        (pod.metadata.labels["app"], pod.spec.node_name)
        for pod in cluster.core.list_namespaced_pod(space).items
        if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])
        and not pod.metadata.deletion_timestamp
    )


def drain(api: KubernetesApi, machine: MachineName, *, timeout_s: float = 20.0, **allowed: bool) -> Drained:
    clock = SystemClock()
    wait_context = WaitContext(
        clock=clock, deadline_s=clock.now_s() + timeout_s, stop=threading.Event(), say=lambda *_told: None
    )
    api.set_unschedulable(machine, unschedulable=True)
    return evict_all(Drain(machine=machine, timeout_s=timeout_s, **allowed), api, wait_context)


def test_pods_move_one_by_one_as_their_budget_allows(
    cluster: Cluster, api: KubernetesApi, space: str, tmp_path: Path
) -> None:
    apply(
        cluster,
        tmp_path,
        space,
        workload("Deployment", "web", replicas=4),
        workload("DaemonSet", "log"),
        budget("web", maxUnavailable=1),
    )
    spread = {("web", A1): 2, ("web", A2): 2, ("log", A1): 1, ("log", A2): 1}
    eventually(lambda: placed(cluster, space) == spread, "all pods are Ready")
    assert drain(api, A1) == Drained(evicted=2)
    moved = {("web", A2): 4, ("log", A1): 1, ("log", A2): 1}
    eventually(lambda: placed(cluster, space) == moved, "the pods are on the other node")


def test_a_budget_that_allows_nothing_is_named_until_it_is_lifted(
    cluster: Cluster, api: KubernetesApi, space: str, tmp_path: Path
) -> None:
    apply(cluster, tmp_path, space, workload("Deployment", "db", replicas=2), budget("db", minAvailable=2))
    eventually(lambda: placed(cluster, space) == {("db", A1): 1, ("db", A2): 1}, "all pods are Ready")
    with pytest.raises(DrainError) as caught:
        drain(api, A1, timeout_s=3)
    assert caught.value.brief == f"a1 cannot be drained: PodDisruptionBudget {space}/db allows no eviction of 1 pod"
    assert "The disruption budget db needs 2 healthy pods and has 2 currently" in caught.value.details
    cluster.kubectl("delete", "pdb", "db", "-n", space)
    assert drain(api, A1) == Drained(evicted=1)
    eventually(lambda: placed(cluster, space) == {("db", A2): 2}, "the pod is on the other node")


def test_what_would_be_lost_stays_until_it_is_given_up(
    cluster: Cluster, api: KubernetesApi, space: str, tmp_path: Path
) -> None:
    api.set_unschedulable(A2, unschedulable=True)
    cache = workload("Deployment", "cache", replicas=1, volumes=[{"name": "v", "emptyDir": {}}])
    apply(cluster, tmp_path, space, cache)
    bare = {"containers": [{"name": "main", "image": "i"}], "nodeName": A1}
    cluster.core.create_namespaced_pod(space, {"metadata": {"name": "bare", "labels": {"app": "bare"}}, "spec": bare})
    there = {("cache", A1): 1, ("bare", A1): 1}
    eventually(lambda: placed(cluster, space) == there, "all pods are Ready")
    with pytest.raises(DrainError, match="1 pod has local data and 1 pod has no controller") as caught:
        drain(api, A1)
    assert f"{space}/bare: no controller recreates it" in caught.value.details
    assert placed(cluster, space) == there
    assert drain(api, A1, delete_local_data=True, delete_bare=True) == Drained(evicted=2)
    assert placed(cluster, space) == {}

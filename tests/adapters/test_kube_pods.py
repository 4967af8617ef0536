"""Cordons, pods, evictions and snapshots over a small real API on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bootstrap.adapters.kube import KubernetesApis
from bootstrap.adapters.kube.api import KubernetesApi
from bootstrap.adapters.kube.objects import kube_object
from bootstrap.adapters.kube.pods import parse_pod, selects
from bootstrap.errors import KubernetesError, KubeUnreachableError
from bootstrap.k3s.snapshot_files import parse_snapshots
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Pod, Refusal, Snapshot
from tests.adapters.kube_server import KubeServer, node
from tests.adapters.kube_workloads import Object, budget, pod

W1 = MachineName("demo-w-1")
WEB = {"app": "web"}
SELECTS_WEB = {"matchLabels": WEB}


@pytest.fixture
def server() -> Iterator[KubeServer]:
    server = KubeServer()
    yield server
    server.stop()


@pytest.fixture
def api(server: KubeServer) -> Iterator[KubernetesApi]:
    api = KubernetesApis().connect(server.kubeconfig)
    yield api
    api.close()


def web(uid: str = "uid-web-1") -> Pod:
    return Pod(namespace="default", name="web-1", uid=uid, controller="ReplicaSet")


class TestCordon:
    def test_a_node_is_cordoned_once_and_its_other_settings_stay(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1, labels={"a": "b"}, taints=[{"key": "x", "effect": "NoExecute"}]))
        assert [api.set_unschedulable(W1, unschedulable=True) for _ in range(2)] == [True, False]
        assert api.kube_nodes()[0].unschedulable
        there = server.get(W1)
        assert (there["metadata"]["labels"], there["spec"]["taints"]) == (
            {"a": "b"},
            [{"key": "x", "effect": "NoExecute"}],
        )
        assert [api.set_unschedulable(W1, unschedulable=False) for _ in range(2)] == [True, False]
        assert not api.kube_nodes()[0].unschedulable

    def test_there_is_nothing_to_cordon_without_a_node(self, api: KubernetesApi) -> None:
        with pytest.raises(KubernetesError) as caught:
            api.set_unschedulable(W1, unschedulable=True)
        assert "not found" in caught.value.details


class TestPods:
    def test_pods_of_one_node_come_as_values(self, server: KubeServer, api: KubernetesApi) -> None:
        owner = {"kind": "ReplicaSet", "name": "web", "controller": True}
        mirror = pod("static", W1, namespace="kube-system", annotations={"kubernetes.io/config.mirror": "ab"})
        done = pod("job", W1, deletionTimestamp="2026-01-01T00:00:00Z")
        done["status"]["phase"] = "Failed"
        cache = pod("cache", W1, ownerReferences=[{"kind": "Other", "controller": False}, owner])
        cache["spec"]["volumes"] = [{"name": "c", "configMap": {}}, {"name": "v", "emptyDir": {}}]
        server.workloads.pods = [mirror, done, cache, pod("elsewhere", "demo-w-2")]
        assert api.pods(on=W1) == (
            Pod(namespace="default", name="cache", uid="uid-cache", controller="ReplicaSet", local_data=True),
            Pod(namespace="default", name="job", uid="uid-job", finished=True, leaving=True),
            Pod(namespace="kube-system", name="static", uid="uid-static", mirror=True),
        )

    def test_long_listings_come_in_parts_and_begin_anew_when_one_expires(
        self, server: KubeServer, api: KubernetesApi
    ) -> None:
        server.workloads.pods = [pod(f"p-{n:04}", W1) for n in range(1201)]
        server.workloads.expires = 2
        assert [found.name for found in api.pods(on=W1)] == [f"p-{n:04}" for n in range(1201)]
        assert server.count("GET /api/v1/pods") == 2 + 2 + 3
        server.workloads.expires = 1000
        with pytest.raises(KubernetesError, match="cannot be listed"):
            api.pods(on=W1)

    def test_an_api_that_does_not_answer_is_unreachable(self, server: KubeServer, api: KubernetesApi) -> None:
        server.status = 503
        with pytest.raises(KubeUnreachableError):
            api.pods(on=W1)


class TestEvictions:
    def test_an_eviction_is_of_one_pod_and_no_later_one_of_its_name(
        self, server: KubeServer, api: KubernetesApi
    ) -> None:
        server.workloads.pods = [pod("web-1", W1)]
        assert api.evict(web(uid="an-earlier-one")) is None
        assert len(server.workloads.pods) == 1
        assert api.evict(web()) is None
        assert server.workloads.pods == []
        assert server.workloads.evictions[-1]["metadata"] == {"name": "web-1", "namespace": "default"}
        assert api.evict(web()) is None

    def test_a_refusal_names_the_budgets_that_select_the_pod(self, server: KubeServer, api: KubernetesApi) -> None:
        server.workloads.pods = [pod("web-1", W1, labels=WEB)]
        server.workloads.budgets = [
            budget("web", SELECTS_WEB, allowed=0),
            budget("db", {"matchLabels": {"app": "db"}}, allowed=0),
            budget("web", SELECTS_WEB, allowed=0, namespace="shop"),
        ]
        assert api.evict(web()) == Refusal(
            budgets=("default/web",),
            message="Cannot evict pod as it would violate the pod's disruption budget. "
            "The disruption budget web needs 2 healthy pods and has 2 currently",
        )
        server.workloads.budgets[0]["status"]["disruptionsAllowed"] = 1
        assert api.evict(web()) is None

    def test_a_pod_that_two_budgets_select_is_refused_with_both(self, server: KubeServer, api: KubernetesApi) -> None:
        server.workloads.pods = [pod("web-1", W1, labels=WEB)]
        server.workloads.budgets = [budget(name, SELECTS_WEB, allowed=1) for name in ("two", "one")]
        refusal = api.evict(web())
        assert refusal is not None
        assert refusal.budgets == ("default/one", "default/two")
        assert "more than one PodDisruptionBudget" in refusal.message

    def test_a_pod_of_a_namespace_that_is_going_goes_with_it(self, server: KubeServer, api: KubernetesApi) -> None:
        server.workloads.pods = [pod("web-1", W1)]
        server.workloads.terminating.add("default")
        refusal = api.evict(web())
        assert refusal is not None
        assert (refusal.budgets, "being terminated" in refusal.message) == ((), True)

    @pytest.mark.parametrize(("status", "error"), [(403, KubernetesError), (503, KubeUnreachableError)])
    def test_other_failures_are_errors(
        self, server: KubeServer, api: KubernetesApi, status: int, error: type[KubernetesError]
    ) -> None:
        server.status = status
        with pytest.raises(KubernetesError) as caught:
            api.evict(web())
        assert type(caught.value) is error
        assert caught.value.details == f"the server says {status}"

    def test_a_failure_of_the_server_itself_may_pass(self, server: KubeServer, api: KubernetesApi) -> None:
        server.status = 500
        with pytest.raises(KubeUnreachableError):
            api.evict(web())


IN = {"key": "app", "operator": "In", "values": ["web", "api"]}
NOT_IN = {"key": "app", "operator": "NotIn", "values": ["web"]}
EXISTS = {"key": "tier", "operator": "Exists"}
MISSING = {"key": "tier", "operator": "DoesNotExist"}


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        (None, WEB, False),
        ({}, WEB, True),
        ({}, {}, True),
        (SELECTS_WEB, {**WEB, "tier": "1"}, True),
        (SELECTS_WEB, {}, False),
        ({"matchExpressions": [IN]}, WEB, True),
        ({"matchExpressions": [IN]}, {}, False),
        ({"matchExpressions": [NOT_IN]}, WEB, False),
        ({"matchExpressions": [NOT_IN]}, {}, True),
        ({"matchExpressions": [IN, EXISTS]}, WEB, False),
        ({"matchExpressions": [IN, MISSING]}, WEB, True),
        ({"matchLabels": {"app": "api"}, "matchExpressions": [IN]}, WEB, False),
    ],
)
def test_selectors_are_read_as_kubernetes_does(selector: Object | None, labels: dict[str, str], selected: bool) -> None:
    assert selects(kube_object(selector, what="read"), labels) is selected


def test_a_pod_with_holes_is_read_all_the_same() -> None:
    found = parse_pod({"metadata": {"name": "x", "annotations": None}, "spec": {"volumes": None}, "status": None})
    assert found == Pod(namespace="", name="x", uid="")


def snapshot(name: str, **status: object) -> Object:
    location = f"file:///var/lib/rancher/k3s/server/db/snapshots/{name}"
    return {"spec": {"snapshotName": name, "nodeName": "demo-cp-1", "location": location}, "status": status}


def parsed(thing: Object) -> Snapshot:
    (found,) = parse_snapshots({"items": [thing]})
    return found


class TestSnapshots:
    def test_snapshots_come_oldest_first(self, server: KubeServer, api: KubernetesApi) -> None:
        late = snapshot("b", creationTime="2026-02-01T00:00:00Z", readyToUse=True, size="2891776")
        early = snapshot("a", creationTime="2026-01-01T00:00:00Z", readyToUse=True, size="3M")
        server.workloads.snapshots = [late, early]
        assert api.snapshots() == (
            Snapshot(
                name="a",
                machine=MachineName("demo-cp-1"),
                location="file:///var/lib/rancher/k3s/server/db/snapshots/a",
                size=3_000_000,
                made=datetime(2026, 1, 1, tzinfo=UTC),
            ),
            Snapshot(
                name="b",
                machine=MachineName("demo-cp-1"),
                location="file:///var/lib/rancher/k3s/server/db/snapshots/b",
                size=2891776,
                made=datetime(2026, 2, 1, tzinfo=UTC),
            ),
        )

    def test_a_k3s_that_has_none_of_them_has_no_snapshots(self, api: KubernetesApi) -> None:
        assert api.snapshots() == ()

    def test_one_that_failed_says_why(self) -> None:
        failed = parsed(snapshot("x", error={"message": "no space left"}))
        assert (failed.problem, failed.size, failed.made) == ("no space left", 0, None)
        assert parsed(snapshot("x", readyToUse=False)).problem == "it is not ready to use"
        assert parsed({"spec": {"nodeName": "s3"}}).machine is None

    @pytest.mark.parametrize(("text", "size"), [("0", 0), ("12Ki", 12288), ("1.5Gi", 1610612736), (7, 7), (None, 0)])
    def test_sizes_are_kubernetes_quantities(self, text: object, size: int) -> None:
        assert parsed(snapshot("x", size=text)).size == size

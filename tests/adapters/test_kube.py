"""Kubernetes over a small real API on loopback: waiting by watch, what breaks it, and changing nodes."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bootstrap.adapters.kube import KubernetesApis
from bootstrap.adapters.kube.api import KubernetesApi
from bootstrap.adapters.kube.nodes import missing_metadata, parse_node
from bootstrap.errors import KubernetesError, KubeUnreachableError
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import KubeNode
from tests.adapters.kube_server import KubeServer, node

W1 = MachineName("demo-w-1")
CP1 = MachineName("demo-cp-1")
WATCH = "WATCH /api/v1/nodes"
LIST = "GET /api/v1/nodes"
LEASES = "GET /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


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
    assert "kube-node-watch" not in {thread.name for thread in threading.enumerate()}


def is_ready(kube_node: KubeNode | None) -> bool:
    return kube_node is not None and kube_node.ready


def is_gone(kube_node: KubeNode | None) -> bool:
    return kube_node is None


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def after(delay_s: float, act: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(delay_s, act)
    timer.start()
    return timer


class TestReading:
    def test_nodes_come_as_values(self, server: KubeServer, api: KubernetesApi) -> None:
        labels = {"node-role.kubernetes.io/control-plane": "true", "a": "b"}
        taints = [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}, {"key": "x", "effect": "NoExecute"}]
        reported = datetime(2026, 11, 28, 19, 24, 17, tzinfo=UTC)
        worker = node(W1, ready=False)
        worker["status"]["conditions"][-1]["lastHeartbeatTime"] = "2026-11-28T19:24:17Z"
        server.put(worker)
        server.put(node(CP1, labels=labels, taints=taints, unschedulable=True))
        before = datetime.now(UTC)
        found = api.kube_nodes()
        assert all(each.renewed and abs(each.renewed - before) < timedelta(minutes=1) for each in found)
        assert tuple(replace(each, renewed=None) for each in found) == (
            KubeNode(
                name=CP1,
                ready=True,
                version="v1.33.3+k3s1",
                address=IPv4Address("198.18.0.7"),
                roles=frozenset({"control-plane"}),
                labels=(("a", "b"), ("node-role.kubernetes.io/control-plane", "true")),
                taints=(Taint(key="dedicated", value="db", effect="NoSchedule"), Taint(key="x", effect="NoExecute")),
                unschedulable=True,
                os_image="Debian GNU/Linux 12 (bookworm)",
                uid=f"uid-{CP1}",
            ),
            KubeNode(
                name=W1,
                ready=False,
                problem="KubeletNotReady: cni plugin not initialized",
                version="v1.33.3+k3s1",
                address=IPv4Address("198.18.0.7"),
                os_image="Debian GNU/Linux 12 (bookworm)",
                uid=f"uid-{W1}",
                heartbeat=reported,
            ),
        )

    def test_ready_of_a_kubelet_that_is_silent_is_not_believed(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1), fresh=False)
        server.put(node(CP1), fresh=False)
        server.renew(CP1, age_s=75)
        stale, unheard = api.kube_nodes()
        assert not stale.ready
        # The server tells its time in whole seconds.
        assert re.fullmatch(r"it says Ready, but its kubelet was last heard of 7[3-7] s ago", stale.problem)
        assert not unheard.ready
        assert "no lease" in unheard.problem

    def test_a_node_that_waits_for_its_cloud_controller_is_not_ready(
        self, server: KubeServer, api: KubernetesApi
    ) -> None:
        taint = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
        server.put(node(W1, taints=[taint]))
        (waiting,) = api.kube_nodes()
        assert not waiting.ready
        assert "its cloud controller manager has not initialized it" in waiting.problem
        server.put(node(W1, taints=[]))
        assert api.kube_nodes()[0].ready

    @pytest.mark.parametrize("hours", [-3, 3])
    def test_leases_are_measured_by_the_servers_clock(self, server: KubeServer, api: KubernetesApi, hours: int) -> None:
        server.ahead = timedelta(hours=hours)
        server.put(node(W1))
        assert api.kube_nodes()[0].ready
        server.renew(W1, age_s=90)
        assert not api.kube_nodes()[0].ready

    def test_readiness_of_the_api(self, server: KubeServer, api: KubernetesApi) -> None:
        assert api.ready() is True
        server.status = 503
        assert api.ready() is False
        server.status = 401
        with pytest.raises(KubernetesError, match="refused") as caught:
            api.ready()
        assert caught.value.details == "the server says 401"
        assert not isinstance(caught.value, KubeUnreachableError)

    def test_an_api_that_is_down_is_unreachable(self, server: KubeServer, api: KubernetesApi) -> None:
        server.stop()
        assert api.ready() is False
        with pytest.raises(KubeUnreachableError, match="does not answer") as caught:
            api.kube_nodes()
        assert "refused" in caught.value.details
        server.start()
        assert api.ready() is True

    def test_a_kubeconfig_that_is_no_use_is_refused_without_telling_it(self) -> None:
        for text in ("", "a: [", "contexts: []", "clusters: 1\nusers: geheim\n"):
            with pytest.raises(KubernetesError, match="cannot use the kubeconfig") as caught:
                KubernetesApis().connect(text)
            assert "geheim" not in caught.value.details


class TestWaiting:
    def test_a_node_that_is_ready_needs_no_waiting(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1))
        found = api.await_kube_node(W1, accept=is_ready, timeout_s=60)
        assert found is not None
        assert found.ready

    def test_a_node_that_becomes_ready_is_seen_at_once(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1, ready=False))
        timer = after(0.5, lambda: server.put(node(W1)))
        began = time.monotonic()
        assert is_ready(api.await_kube_node(W1, accept=is_ready, timeout_s=60))
        assert 0.4 < time.monotonic() - began < 30
        timer.join()

    def test_all_who_wait_share_one_watch(self, server: KubeServer, api: KubernetesApi) -> None:
        names = [MachineName(f"w-{index}") for index in range(12)]
        with ThreadPoolExecutor(len(names)) as pool:
            waiting = [pool.submit(api.await_kube_node, name, accept=is_ready, timeout_s=60) for name in names]
            eventually(lambda: server.count(WATCH) == 1)
            for name in names:
                server.put(node(name))
            assert all(is_ready(future.result()) for future in waiting)
        assert (server.count(WATCH), server.count(LIST)) == (1, 1)
        assert server.count(LEASES) <= len(names)

    def test_an_event_is_news_to_those_alone_who_wait_for_its_node(
        self, server: KubeServer, api: KubernetesApi
    ) -> None:
        looks: list[KubeNode | None] = []

        def counted(kube_node: KubeNode | None) -> bool:
            looks.append(kube_node)
            return is_ready(kube_node)

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(api.await_kube_node, W1, accept=counted, timeout_s=60)
            eventually(lambda: server.count(WATCH) == 1)
            for name in (MachineName(f"w-{index}") for index in range(20)):
                server.put(node(name))
                assert api.await_kube_node(name, accept=lambda there: there is not None, timeout_s=60)
            assert len(looks) <= 2  # when it began, and at the listing; not for twenty events
            server.put(node(W1))
            assert is_ready(waiting.result())

    def test_what_is_known_is_returned_when_time_runs_out(self, server: KubeServer, api: KubernetesApi) -> None:
        assert api.await_kube_node(W1, accept=is_ready, timeout_s=0.2) is None
        server.put(node(W1, ready=False))
        assert api.await_kube_node(W1, accept=lambda kube_node: kube_node is not None, timeout_s=60)
        found = api.await_kube_node(W1, accept=is_ready, timeout_s=0.3)
        assert found is not None
        assert found.problem == "KubeletNotReady: cni plugin not initialized"

    def test_a_lease_that_comes_late_is_noticed_without_an_event(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1), fresh=False)
        timer = after(0.6, lambda: server.renew(W1))
        assert is_ready(api.await_kube_node(W1, accept=is_ready, timeout_s=60))
        timer.join()

    def test_a_lost_connection_is_mended_and_nothing_missed(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1, ready=False))
        api.await_kube_node(W1, accept=lambda kube_node: kube_node is not None, timeout_s=60)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(api.await_kube_node, W1, accept=is_ready, timeout_s=60)
            server.stop()
            server.put(node(W1))
            time.sleep(0.5)
            assert not waiting.done()
            server.start()
            assert is_ready(waiting.result())

    def test_a_version_too_old_is_listed_again(self, server: KubeServer, api: KubernetesApi) -> None:
        server.gone = 3
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(api.await_kube_node, W1, accept=is_ready, timeout_s=60)
            eventually(lambda: server.count(LIST) == 4)
            server.put(node(W1))
            assert is_ready(waiting.result())
        assert server.count(LIST) == 4

    def test_what_was_known_before_the_connection_broke_proves_nothing(
        self, server: KubeServer, api: KubernetesApi
    ) -> None:
        server.put(node(W1))
        api.await_kube_node(W1, accept=is_ready, timeout_s=60)
        server.stop()
        eventually(lambda: not is_ready_at_once(api))
        server.start()

    def test_absence_is_not_believed_before_the_first_listing(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1))
        server.status = 503
        asked: list[KubeNode | None] = []

        def accept(kube_node: KubeNode | None) -> bool:
            asked.append(kube_node)
            return kube_node is None

        assert api.await_kube_node(W1, accept=accept, timeout_s=0.3) is None
        assert asked == []

    def test_a_refusal_ends_the_wait(self, server: KubeServer, api: KubernetesApi) -> None:
        server.status = 403
        with pytest.raises(KubernetesError, match="refused"):
            api.await_kube_node(W1, accept=is_ready, timeout_s=60)
        server.status = None
        server.put(node(W1))
        eventually(lambda: is_ready_at_once(api))

    def test_closing_ends_all_waits(self, server: KubeServer, api: KubernetesApi) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(api.await_kube_node, W1, accept=is_ready, timeout_s=60)
            eventually(lambda: server.count(WATCH) == 1)
            api.close()
            assert "kube-node-watch" not in {thread.name for thread in threading.enumerate()}, "it does not hang"
            assert waiting.result(60) is None
        api.close()


def is_ready_at_once(api: KubernetesApi) -> bool:
    """Whether Ready is accepted with no time to wait."""
    accepted: list[bool] = []

    def accept(kube_node: KubeNode | None) -> bool:
        accepted.append(is_ready(kube_node))
        return True

    try:
        api.await_kube_node(W1, accept=accept, timeout_s=0)
    except KubernetesError:
        return False
    return accepted == [True]


class TestChanging:
    TAINT = Taint(key="dedicated", value="db", effect="NoSchedule")

    def test_labels_and_taints_are_added_to_what_is_there(self, server: KubeServer, api: KubernetesApi) -> None:
        others = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"}
        server.put(node(W1, labels={"mine": "1"}, taints=[others]))
        assert api.set_kube_node_metadata(W1, labels={"pool": "a"}, taints=[self.TAINT]) is True
        assert server.get(W1)["metadata"]["labels"] == {"mine": "1", "pool": "a"}
        ours = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
        assert server.get(W1)["spec"]["taints"] == [others, ours]
        assert api.set_kube_node_metadata(W1, labels={"pool": "a"}, taints=[self.TAINT]) is False

    def test_another_value_of_our_taint_is_replaced(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1, taints=[{"key": "dedicated", "value": "old", "effect": "NoSchedule"}]))
        assert api.set_kube_node_metadata(W1, labels={}, taints=[self.TAINT]) is True
        assert [taint["value"] for taint in server.get(W1)["spec"]["taints"]] == ["db"]

    def test_stale_labels_and_taints_go_and_those_of_others_stay(self, server: KubeServer, api: KubernetesApi) -> None:
        taints = [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}, {"key": "mine", "effect": "NoExecute"}]
        server.put(node(W1, labels={"disk": "ssd", "rack": "changed", "mine": "1"}, taints=taints))
        stale = {"stale_labels": (("disk", "ssd"), ("rack", "r1")), "stale_taints": (self.TAINT,)}
        assert api.set_kube_node_metadata(W1, labels={"pool": "a"}, taints=[], **stale) is True  # type: ignore[arg-type]
        assert server.get(W1)["metadata"]["labels"] == {"rack": "changed", "mine": "1", "pool": "a"}
        assert [taint["key"] for taint in server.get(W1)["spec"]["taints"]] == ["mine"]
        assert api.set_kube_node_metadata(W1, labels={"pool": "a"}, taints=[], **stale) is False  # type: ignore[arg-type]

    def test_what_k3s_tells_of_its_process_is_read(self, server: KubeServer, api: KubernetesApi) -> None:
        told = node(W1)
        told["metadata"]["annotations"] = {"k3s.io/node-args": '["agent","--node-name","demo-w-1"]'}
        server.put(told)
        assert api.kube_nodes()[0].args == ("agent", "--node-name", "demo-w-1")
        for text in ("", "{}", "nonsense"):
            told["metadata"]["annotations"] = {"k3s.io/node-args": text}
            server.put(told)
            assert api.kube_nodes()[0].args is None

    def test_settings_are_pending_until_they_are_not(self, server: KubeServer, api: KubernetesApi) -> None:
        noted = node(W1)
        noted["metadata"]["annotations"] = {"mine": "1"}
        server.put(noted)
        assert not api.kube_nodes()[0].settings_pending
        api.mark_settings(W1, pending=True)
        assert api.kube_nodes()[0].settings_pending
        api.mark_settings(W1, pending=False)
        assert not api.kube_nodes()[0].settings_pending
        assert server.get(W1)["metadata"]["annotations"] == {"mine": "1"}
        api.mark_settings(MachineName("demo-w-9"), pending=True)

    def test_a_change_of_somebody_else_meanwhile_is_kept(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1, labels={}))
        server.conflicts = 2
        assert api.set_kube_node_metadata(W1, labels={"pool": "a"}, taints=[]) is True
        assert server.get(W1)["metadata"]["labels"] == {"somebody": "else", "pool": "a"}

    def test_a_node_that_is_not_there_cannot_be_labelled(self, api: KubernetesApi) -> None:
        with pytest.raises(KubernetesError) as caught:
            api.set_kube_node_metadata(W1, labels={"a": "b"}, taints=[])
        assert caught.value.details == 'nodes "demo-w-1" not found'

    def test_a_node_gets_the_address_that_its_machine_has_now(self, server: KubeServer, api: KubernetesApi) -> None:
        old = node(W1)
        old["metadata"]["annotations"] = {
            "k3s.io/internal-ip": "198.18.0.7,fd00::1",
            "alpha.kubernetes.io/provided-node-ip": "198.18.0.7",
            "k3s.io/hostname": W1,
        }
        server.put(old)
        now = IPv4Address("198.18.0.9")
        assert api.set_kube_node_address(W1, now) is True
        found = server.get(W1)
        assert found["status"]["addresses"] == [
            {"type": "InternalIP", "address": "198.18.0.9"},
            {"type": "InternalIP", "address": "fd00::1"},
            {"type": "Hostname", "address": W1},
        ]
        assert found["status"]["nodeInfo"] == old["status"]["nodeInfo"]
        # What k3s's cloud controller goes by: it would put the address of before back.
        assert found["metadata"]["annotations"] == {
            "k3s.io/internal-ip": "198.18.0.9,fd00::1",
            "alpha.kubernetes.io/provided-node-ip": "198.18.0.9",
            "k3s.io/hostname": W1,
        }
        server.requests.clear()
        assert api.set_kube_node_address(W1, now) is False
        assert api.set_kube_node_address(W1, IPv4Address("10.0.0.1"), own={now}) is False
        assert {request.split()[0] for request in server.requests} == {"GET"}

    def test_a_node_that_is_not_there_gets_no_address(self, api: KubernetesApi) -> None:
        assert api.set_kube_node_address(W1, IPv4Address("198.18.0.9")) is False

    def test_deleting_waits_until_it_is_gone(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1))
        api.delete_kube_node(W1, timeout_s=60)
        assert api.kube_nodes() == ()
        api.delete_kube_node(W1, timeout_s=60)

    def test_the_node_password_goes_with_the_node_whether_it_ever_registered_or_not(
        self, server: KubeServer, api: KubernetesApi
    ) -> None:
        server.secrets |= {f"{W1}.node-password.k3s", "other.node-password.k3s"}
        api.delete_kube_node(W1, timeout_s=60)
        assert server.secrets == {"other.node-password.k3s"}
        server.put(node(W1))
        server.secrets.add(f"{W1}.node-password.k3s")
        api.delete_kube_node(W1, timeout_s=60)
        assert server.secrets == {"other.node-password.k3s"}

    def test_deleting_gives_up_on_a_finalizer_in_time(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1))
        server.holds_deletes = True
        began = time.monotonic()
        api.delete_kube_node(W1, timeout_s=0.4)
        assert 0.4 <= time.monotonic() - began < 30

    def test_a_node_that_registers_again_counts_as_gone(self, server: KubeServer, api: KubernetesApi) -> None:
        server.put(node(W1))
        server.holds_deletes = True
        again = node(W1)
        again["metadata"]["uid"] = "another"

        def register() -> None:
            while not any(request.startswith("DELETE ") for request in server.requests):
                time.sleep(0.01)
            server.put(again)

        timer = after(0.0, register)
        began = time.monotonic()
        api.delete_kube_node(W1, timeout_s=60)
        assert time.monotonic() - began < 30
        timer.join()


def test_a_patch_names_the_version_it_was_made_for() -> None:
    there = node(W1, labels={"a": "b"})
    there["metadata"]["resourceVersion"] = "7"
    assert missing_metadata(there, labels={"a": "b"}, taints=[]) is None
    assert missing_metadata(there, labels={"a": "c"}, taints=[]) == {
        "metadata": {"resourceVersion": "7", "labels": {"a": "c"}}
    }


def test_an_object_with_holes_is_read_all_the_same() -> None:
    seen = parse_node({"metadata": {"name": "x"}, "spec": None, "status": {"conditions": None}}, lease_age_s=1)
    assert seen.problem == "it has no Ready condition yet"


def test_a_node_whose_deletion_was_asked_for_is_told_from_others() -> None:
    metadata = {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["wrangler.cattle.io/node"]}
    assert parse_node({"metadata": metadata}, lease_age_s=1).deleting
    metadata["finalizers"] = ["wrangler.cattle.io/node", "wrangler.cattle.io/managed-etcd-controller"]
    assert not parse_node({"metadata": metadata}, lease_age_s=1).deleting, "its etcd member is still there"
    assert not parse_node({"metadata": {"name": "x"}}, lease_age_s=1).deleting


def test_importing_and_connecting_is_cheap() -> None:
    """The kubernetes client is imported by the first request, and its 250 models of `CoreV1Api` not by `status`."""
    code = (
        "import contextlib, sys\n"
        "from bootstrap.errors import KubeUnreachableError\n"
        "from bootstrap.adapters.kube import KubernetesApis\n"
        "api = KubernetesApis().connect('{contexts: [{name: a, context: {cluster: a, user: a}}],"
        ' clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: a, user: {}}]}\')\n'
        "before = 'kubernetes' in sys.modules\n"
        "with contextlib.suppress(KubeUnreachableError):\n"
        "    api.kube_nodes()\n"
        "print(before, api.ready(), 'kubernetes' in sys.modules, 'kubernetes.client.models.v1_node' in sys.modules)\n"
        "api.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert (done.stdout, done.stderr) == ("False False True False\n", "")


def test_each_request_is_told_as_a_call(api: KubernetesApi, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="bootstrap.calls"):
        api.kube_nodes()
    told = [record.getMessage() for record in caplog.records if record.name == "bootstrap.calls.kubernetes"]
    assert any(re.fullmatch(r"kubernetes GET /api/v1/nodes -> 200 \(\d+\.\d\d s\)", each) for each in told), told

"""The Kubernetes adapter against the k3s stand-in: TLS with client certificates, joins, a server that restarts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.adapters.kube import KubernetesApis
from bootstrap.adapters.kube.api import KubernetesApi
from bootstrap.errors import KubernetesError, KubeUnreachableError
from bootstrap.k3s.kubeconfig.build import build_kubeconfig
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import KubeNode
from tests.doubles.k3s.machines import Machine, Machines

S1 = MachineName("s1")
A1 = MachineName("a1")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def server(machines: Machines) -> Machine:
    return machines.server("s1")


@pytest.fixture
def api(server: Machine) -> Iterator[KubernetesApi]:
    api = KubernetesApis().connect(kubeconfig(server))
    yield api
    api.close()
    assert "kube-node-watch" not in {thread.name for thread in threading.enumerate()}


def kubeconfig(server: Machine) -> str:
    return build_kubeconfig(server.kubeconfig.read_text(), name="demo", server_url=server.url, source="s1")


def is_ready(kube_node: KubeNode | None) -> bool:
    return kube_node is not None and kube_node.ready


def test_a_cluster_is_built_labelled_and_taken_apart(machines: Machines, server: Machine, api: KubernetesApi) -> None:
    assert api.ready()
    assert is_ready(api.await_kube_node(S1, accept=is_ready, timeout_s=60))
    machines.agent("a1", server)
    found = api.await_kube_node(A1, accept=is_ready, timeout_s=60)
    assert found is not None
    assert found.ready
    assert str(found.address) == machines.all[1].address
    assert [(node.name, node.ready, "control-plane" in node.roles) for node in api.kube_nodes()] == [
        ("a1", True, False),
        ("s1", True, True),
    ]
    taint = Taint(key="dedicated", value="db", effect="NoSchedule")
    assert api.set_kube_node_metadata(A1, labels={"pool": "a"}, taints=[taint]) is True
    assert api.set_kube_node_metadata(A1, labels={"pool": "a"}, taints=[taint]) is False
    labelled = api.await_kube_node(A1, accept=lambda node: node is not None and taint in node.taints, timeout_s=60)
    assert labelled is not None
    assert ("pool", "a") in labelled.labels
    machines.all[1].kill()
    api.delete_kube_node(A1, timeout_s=60)
    assert [node.name for node in api.kube_nodes()] == ["s1"]


def test_a_server_that_restarts_is_waited_for(server: Machine, api: KubernetesApi) -> None:
    assert is_ready(api.await_kube_node(S1, accept=is_ready, timeout_s=60))
    server.kill()
    assert api.ready() is False
    with pytest.raises(KubeUnreachableError):
        api.kube_nodes()
    server.start("server")
    assert is_ready(api.await_kube_node(S1, accept=is_ready, timeout_s=60))


def test_a_watch_over_tls_ends_at_once(server: Machine, api: KubernetesApi) -> None:
    api.await_kube_node(S1, accept=is_ready, timeout_s=60)
    time.sleep(0.3)
    api.close()
    assert "kube-node-watch" not in {thread.name for thread in threading.enumerate()}, "it does not hang"


def test_the_cluster_of_another_ca_is_refused(machines: Machines, server: Machine, tmp_path: Path) -> None:
    """As when another cluster has taken over the address."""
    other = machines.server("other")
    api = KubernetesApis().connect(
        build_kubeconfig(server.kubeconfig.read_text(), name="demo", server_url=other.url, source="s1"),
    )
    with pytest.raises(KubernetesError, match="not the API of this cluster") as caught:
        api.kube_nodes()
    assert not isinstance(caught.value, KubeUnreachableError)
    with pytest.raises(KubernetesError):
        api.ready()
    api.close()


def test_no_certificate_is_left_on_disk(server: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    api = KubernetesApis().connect(kubeconfig(server))
    assert is_ready(api.await_kube_node(S1, accept=is_ready, timeout_s=60))
    assert api.kube_nodes()
    assert list((tmp_path / "tmp").iterdir()) == []
    api.close()

"""Fixtures of the stand-in's tests."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.k3s.machines import Cluster, Machines
from tests.doubles.k3s.raw_api import RawApi


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """Machines of one test, stopped at its end."""
    made = Machines(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One server and two agents, shared by the tests of a module."""
    made = Machines(tmp_path_factory.mktemp("small"))
    server = made.server("S1", tls_san=["k8s.example"], write_kubeconfig_mode="0640")
    labels, taints = ["disk=ssd", "node.kubernetes.io/pool=a"], ["dedicated=db:NoSchedule"]
    for name in ("a1", "a2"):
        made.agent(name, server, token=(server.server_dir / "node-token").read_text().strip(), node_label=labels,
                   node_taint=taints, node_external_ip="198.51.100.7").up()  # fmt: skip
    cluster = Cluster(server)
    cluster.wait_ready("s1", "a1", "a2")
    yield cluster
    cluster.close()
    made.stop()


@pytest.fixture(scope="session")
def real_kubeconfig() -> Path | None:
    """The kubeconfig of a real cluster, if the tests of the API are to run against one."""
    return Path(os.environ["K3S_KUBECONFIG"]) if os.environ.get("K3S_KUBECONFIG") else None


@pytest.fixture(scope="module")
def api_config(real_kubeconfig: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of a server that has nothing to do but answer."""
    if real_kubeconfig is not None:
        yield real_kubeconfig
        return
    made = Machines(tmp_path_factory.mktemp("api"))
    yield made.server("s1").kubeconfig
    made.stop()


@pytest.fixture
def api(api_config: Path) -> Iterator[RawApi]:
    """The API, with a namespace of the test's own."""
    namespace = f"t{secrets.token_hex(4)}"
    made = RawApi(api_config, namespace)
    assert made.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).code == 201
    yield made
    made.delete(f"/api/v1/namespaces/{namespace}")
    made.close()

"""Fixtures of the stand-in's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.k3s.machines import Cluster, Machines


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

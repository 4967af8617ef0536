"""No redirect of an address that was checked is followed: credentials go nowhere else. No answer is without end."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from bootstrap.adapters.kube.api import KubernetesApi, KubernetesApis
from bootstrap.adapters.local.clock import SystemClock
from bootstrap.adapters.proxmox import connect
from bootstrap.adapters.proxmox.client.answer_limits import MOST_AGENT_BYTES
from bootstrap.adapters.proxmox.hypervisor import ProxmoxHypervisor
from bootstrap.errors import AuthenticationError, KubernetesError, UnreadableAnswerError
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.ids import MachineName, PveNodeName, Vmid
from bootstrap.model.machine import Taint
from tests.adapters.hostile_site import Site, serving
from tests.adapters.tls_peer import make_certificate
from tests.fakes.keys import KEYS

SECRET = "0f6b1c9e-5c1f-4c3e-9d0a-2f1f0d8f7a11"


@pytest.fixture
def cert_file(tmp_path: Path) -> Path:
    return make_certificate(tmp_path)


@pytest.fixture
def pinned(cert_file: Path) -> Iterator[Site]:
    with serving(cert_file) as site:
        yield site


@pytest.fixture(params=["https", "http"])
def elsewhere(request: pytest.FixtureRequest, cert_file: Path) -> Iterator[Site]:
    with serving(cert_file if request.param == "https" else None) as site:
        yield site


@pytest.fixture
def hypervisor(pinned: Site, cert_file: Path) -> Iterator[ProxmoxHypervisor]:
    endpoint = PveEndpoint(
        url=pinned.url,
        token=ApiToken(user="homelab@pve", name="k8s", secret=SECRET),
        tls=TlsSpec(ca_file=cert_file),
    )
    hypervisor = connect(endpoint, keys=KEYS, clock=SystemClock(), stop=threading.Event(), retry_for_s=1.0)
    yield hypervisor
    hypervisor.close()


@pytest.fixture
def kube(pinned: Site, cert_file: Path) -> Iterator[KubernetesApi]:
    authority = base64.b64encode(cert_file.read_bytes()).decode()
    kubeconfig = {
        "current-context": "demo",
        "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
        "clusters": [{"name": "demo", "cluster": {"server": pinned.url, "certificate-authority-data": authority}}],
        "users": [{"name": "demo", "user": {"token": SECRET}}],
    }
    api = KubernetesApis().connect(yaml.safe_dump(kubeconfig))
    yield api
    api.close()


READS_AND_WRITES: tuple[Callable[[ProxmoxHypervisor], object], ...] = (
    lambda hypervisor: hypervisor.machines(),
    lambda hypervisor: hypervisor.start(Vmid(7001), pve_node=PveNodeName("pve1"), warn=lambda _text: None),
    lambda hypervisor: hypervisor.guest_interfaces(Vmid(7001), pve_node=PveNodeName("pve1")),
)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("act", READS_AND_WRITES, ids=["read", "write", "agent"])
def test_a_redirect_of_proxmox_ve_is_told_and_not_followed(
    hypervisor: ProxmoxHypervisor,
    pinned: Site,
    elsewhere: Site,
    act: Callable[[ProxmoxHypervisor], object],
    status: int,
) -> None:
    pinned.to, pinned.status = elsewhere.url, status
    with pytest.raises(AuthenticationError, match="redirects to another address") as caught:
        act(hypervisor)
    assert elsewhere.heard == []
    assert pinned.url in caught.value.details
    assert elsewhere.url in caught.value.details
    assert "proxmox.endpoint" in caught.value.resolution
    assert SECRET not in f"{caught.value.details}{caught.value.resolution}"


def test_an_answer_without_end_is_not_read_to_its_end(
    hypervisor: ProxmoxHypervisor, pinned: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bootstrap.adapters.proxmox.client.answer_limits.MOST_BYTES", 1 << 20)
    pinned.piece, pinned.pieces = b" " * (1 << 16), 16 << 10  # 1 GiB
    with pytest.raises(UnreadableAnswerError, match="longer than 1 MiB"):
        hypervisor.machines()
    assert pinned.sent < 64 << 20


def test_of_a_guest_agent_less_is_taken(hypervisor: ProxmoxHypervisor, pinned: Site) -> None:
    pinned.piece, pinned.pieces = b" " * (1 << 16), 16 << 10
    with pytest.raises(UnreadableAnswerError, match=f"longer than {MOST_AGENT_BYTES >> 20} MiB"):
        hypervisor.guest_interfaces(Vmid(7001), pve_node=PveNodeName("pve1"))
    assert pinned.sent < 64 << 20


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_kubernetes_is_told_and_not_followed(
    kube: KubernetesApi, pinned: Site, elsewhere: Site, status: int
) -> None:
    pinned.to, pinned.status = elsewhere.url, status
    acts: tuple[Callable[[], object], ...] = (
        kube.kube_nodes,
        lambda: kube.set_kube_node_metadata(
            MachineName("demo-cp-1"), labels={"a": "b"}, taints=[Taint(key="a", effect="NoSchedule")]
        ),
        kube.ready,
    )
    for act in acts:
        with pytest.raises(KubernetesError, match="redirects to another address") as caught:
            act()
        assert pinned.url in caught.value.details
        assert elsewhere.url in caught.value.details
    assert elsewhere.heard == []


ASKED: tuple[Callable[[KubernetesApi], object], ...] = (
    lambda kube: kube.kube_nodes(),
    lambda kube: kube.set_unschedulable(MachineName("demo-cp-1"), unschedulable=True),
    lambda kube: kube.snapshots(),
)


@pytest.mark.parametrize("status", [200, 403, 500])
@pytest.mark.parametrize("act", ASKED, ids=["by path", "core", "custom objects"])
def test_an_answer_of_kubernetes_without_end_is_not_read_to_its_end(
    kube: KubernetesApi,
    pinned: Site,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[KubernetesApi], object],
    status: int,
) -> None:
    """The client itself reads a refusal to its end, even with `_preload_content=False`."""
    monkeypatch.setattr("bootstrap.adapters.kube.answers.MOST_BYTES", 1 << 20)
    pinned.piece, pinned.pieces, pinned.answers = b" " * (1 << 16), 16 << 10, status
    with pytest.raises(KubernetesError, match="more than 1 MiB"):
        act(kube)
    assert pinned.sent < 64 << 20


def test_a_watch_that_is_refused_without_end_is_not_read_to_its_end(
    kube: KubernetesApi, pinned: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bootstrap.adapters.kube.answers.MOST_BYTES", 1 << 20)
    pinned.piece, pinned.pieces, pinned.answers = b" " * (1 << 16), 16 << 10, 403
    http = kube._http
    with (
        pytest.raises(KubernetesError, match="more than 1 MiB"),
        http.stream(http.client.core.list_node, idle_s=10.0),
    ):
        pass
    assert pinned.sent < 64 << 20

"""Certificates that a wrong clock makes invalid, and endpoints that are another product's."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from bootstrap.adapters.first_page import out_of_date
from bootstrap.adapters.kube.credentials import parse_kubeconfig
from bootstrap.adapters.kube.http import KubeHttp
from bootstrap.adapters.local.clock import SystemClock
from bootstrap.adapters.probes import NetworkProbes
from bootstrap.adapters.proxmox import connect
from bootstrap.errors import AuthenticationError, KubernetesError
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, Vmid
from tests.adapters.tls_peer import LOOPBACK, Times, TlsPeer, tls_peer
from tests.fakes.keys import KEYS

BEHIND = Times(valid_from=timedelta(days=10), clock_ahead=timedelta(days=12))
"""This computer's clock is twelve days behind, and the certificate ten days old."""
AHEAD = Times(valid_from=timedelta(days=-40), clock_ahead=timedelta(days=-20))
"""It is twenty days ahead, and the certificate has ten left."""
ENDED = Times(valid_from=timedelta(days=-40))
BACKUP = "<html><head><title>\n pbs1 - Proxmox Backup Server </title></head></html>"
VE = "<html><head><title>pve1 - Proxmox Virtual Environment</title></head></html>"


def endpoint(peer: TlsPeer) -> PveEndpoint:
    token = ApiToken(user="a@pve", name="b", secret="open-sesame")
    return PveEndpoint(url=peer.url, token=token, tls=TlsSpec(ca_file=peer.cert_file))


def ask(peer: TlsPeer) -> None:
    hypervisor = connect(endpoint(peer), keys=KEYS, clock=SystemClock(), stop=threading.Event(), retry_for_s=1.0)
    hypervisor.observe(cluster=ClusterName("demo"), vmids=VmidRange(first=Vmid(7000), last=Vmid(7099)))


def ask_kubernetes(peer: TlsPeer) -> None:
    authority = base64.b64encode(peer.cert_file.read_bytes()).decode()
    cluster = {"server": peer.url, "certificate-authority-data": authority}
    http = KubeHttp(
        parse_kubeconfig(
            yaml.safe_dump(
                {
                    "clusters": [{"name": "demo", "cluster": cluster}],
                    "users": [{"name": "demo", "user": {"token": "open-sesame"}}],
                    "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
                    "current-context": "demo",
                }
            )
        )
    )
    http.ask(http.client.get, "/readyz")


def both_clocks(ahead: timedelta) -> str:
    now = datetime.now(UTC)
    days = [f"{at:%Y-%m-%d}" for at in (now, now + ahead)]
    return rf"this computer's clock says {days[0]} \d\d:\d\d UTC, {LOOPBACK} says {days[1]} \d\d:\d\d UTC"


@pytest.mark.parametrize("times", [BEHIND, AHEAD])
def test_a_certificate_that_only_a_wrong_clock_refuses_is_told_with_both_times(tmp_path: Path, times: Times) -> None:
    with tls_peer(tmp_path, times=times) as peer:
        with pytest.raises(AuthenticationError, match=both_clocks(times.clock_ahead)) as refused:
            ask(peer)
        assert peer.asked == ["/"]  # the token was sent to nobody
    assert "is not valid at this computer's time" in refused.value.brief
    assert "timedatectl" in refused.value.resolution
    assert "fingerprint" not in refused.value.resolution


@pytest.mark.parametrize("times", [BEHIND, AHEAD])
def test_kubernetes_with_a_wrong_clock_is_not_another_cluster(tmp_path: Path, times: Times) -> None:
    with (
        tls_peer(tmp_path, times=times) as peer,
        pytest.raises(KubernetesError, match=both_clocks(times.clock_ahead)) as refused,
    ):
        ask_kubernetes(peer)
    assert "not the API of this cluster" not in refused.value.brief
    assert "timedatectl" in refused.value.resolution


@pytest.mark.parametrize("times", [BEHIND, AHEAD])
def test_doctor_gets_both_times_and_what_to_do(tmp_path: Path, times: Times) -> None:
    with tls_peer(tmp_path, times=times) as peer:
        certificate = NetworkProbes().endpoint(endpoint(peer)).certificate
    assert "this computer's clock says" in certificate.problem
    assert "timedatectl" in certificate.remedy


def test_a_certificate_that_has_ended_is_not_the_clocks_fault(tmp_path: Path) -> None:
    with tls_peer(tmp_path, times=ENDED) as peer:
        with pytest.raises(AuthenticationError, match="cannot be trusted") as refused:
            ask(peer)
        with pytest.raises(KubernetesError, match="is not valid now") as kube_refused:
            ask_kubernetes(peer)
        certificate = NetworkProbes().endpoint(endpoint(peer)).certificate
    assert "it was valid until" in refused.value.details
    assert "pin it" in refused.value.resolution
    assert "systemctl restart k3s" in kube_refused.value.resolution
    assert "it was valid until" in certificate.problem
    assert certificate.remedy == ""


def test_minutes_of_difference_do_not_make_a_clock_wrong(tmp_path: Path) -> None:
    with tls_peer(tmp_path, times=replace(ENDED, clock_ahead=timedelta(minutes=4))) as peer:
        found = out_of_date("certificate has expired", LOOPBACK, peer.port)
    assert found is not None
    assert (found.clocks, found.remedy) == ("", "")


@pytest.mark.parametrize(("page", "status", "body"), [(BACKUP, 401, "authentication failed"), (BACKUP, 404, "{}")])
def test_another_product_is_named_with_the_right_port(tmp_path: Path, page: str, status: int, body: str) -> None:
    with (
        tls_peer(tmp_path, page=page, status=status, body=body) as peer,
        pytest.raises(AuthenticationError, match=r"is Proxmox Backup Server, not Proxmox VE's API") as refused,
    ):
        ask(peer)
    assert "8006" in refused.value.resolution


def test_json_that_is_not_proxmoxs_is_told_with_the_product(tmp_path: Path) -> None:
    with (
        tls_peer(tmp_path, page=BACKUP, status=200, body='{"hello": 1}') as peer,
        pytest.raises(AuthenticationError, match=r"is not a Proxmox VE API: it is Proxmox Backup Server") as refused,
    ):
        ask(peer)
    assert "8006" in refused.value.resolution


def test_proxmox_ve_itself_refuses_the_token(tmp_path: Path) -> None:
    with (
        tls_peer(tmp_path, page=VE) as peer,
        pytest.raises(AuthenticationError, match="refuses the API token"),
    ):
        ask(peer)

"""What stands at an endpoint where Proxmox VE was looked for: silence, plain HTTP, other servers, a path before it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.adapters.local.clock import SystemClock
from bootstrap.adapters.probes import NetworkProbes
from bootstrap.adapters.proxmox import connect
from bootstrap.errors import AuthenticationError, HypervisorError
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, Vmid
from tests.adapters.tls_peer import LOOPBACK, tls_peer
from tests.fakes.keys import KEYS

TOKEN = ApiToken(user="a@pve", name="b", secret="open-sesame")
NAS = "<html><head><title>attic - Synology DiskStation</title></head></html>"


class Talker:
    """Takes connections, says one thing or nothing, and keeps them open."""

    def __init__(self, says: bytes, *, host: str = LOOPBACK) -> None:
        self._says = says
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def count(self) -> int:
        return len(self._open)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(near)
            near.sendall(self._says)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for end in (self._listener, *self._open):
            end.close()


@pytest.fixture
def silent() -> Iterator[Talker]:
    talker = Talker(b"")
    yield talker
    talker.close()


@pytest.fixture
def ssh_server() -> Iterator[Talker]:
    talker = Talker(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    yield talker
    talker.close()


def ask(url: str, tls: TlsSpec) -> None:
    endpoint = PveEndpoint(url=url, token=TOKEN, tls=tls)
    hypervisor = connect(
        endpoint, keys=KEYS, clock=SystemClock(), stop=threading.Event(), connect_timeout_s=0.5, retry_for_s=20.0
    )
    hypervisor.observe(cluster=ClusterName("demo"), vmids=VmidRange(first=Vmid(7000), last=Vmid(7099)))


def test_a_tls_handshake_that_nobody_answers_is_given_up_at_once(silent: Talker) -> None:
    """It was taken for a request whose answer was lost, and tried again for a minute without a word."""
    with pytest.raises(HypervisorError, match=f"cannot reach Proxmox VE at {LOOPBACK}:{silent.port}") as refused:
        ask(f"https://{LOOPBACK}:{silent.port}", TlsSpec(insecure=True))
    assert silent.count == 1, "it is not tried again"
    assert refused.value.details.endswith("takes connections, but no TLS handshake was answered in time")
    assert "firewall" in refused.value.resolution
    assert "port 8006" in refused.value.resolution


def test_an_ipv6_address_is_asked_and_shown_in_brackets() -> None:
    try:
        talker = Talker(b"SSH-2.0-OpenSSH_9.2p1\r\n", host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        with pytest.raises(AuthenticationError, match=rf"at \[::1\]:{talker.port} does not speak HTTPS"):
            ask(f"https://[::1]:{talker.port}", TlsSpec(insecure=True))
        assert talker.count == 1
    finally:
        talker.close()


def test_what_speaks_no_tls_is_told_as_that_by_doctor_and_init_too(ssh_server: Talker) -> None:
    endpoint = PveEndpoint(url=f"https://{LOOPBACK}:{ssh_server.port}", token=TOKEN)
    with pytest.raises(AuthenticationError, match="does not speak HTTPS") as refused:
        NetworkProbes().endpoint(endpoint)
    assert "port 8006" in refused.value.resolution


@pytest.mark.parametrize(("page", "status"), [(NAS, 401), (NAS, 403), (NAS, 404), ("", 404), ("", 405)])
def test_a_server_that_is_no_proxmox_ve_is_told_as_that(tmp_path: Path, page: str, status: int) -> None:
    """A NAS's 401 was "Proxmox VE refuses the API token", and its 404 had no advice."""
    with (
        tls_peer(tmp_path, page=page, status=status) as peer,
        pytest.raises(AuthenticationError, match="is not a Proxmox VE API") as refused,
    ):
        ask(peer.url, TlsSpec(ca_file=peer.cert_file))
    assert f"HTTP {status}" in refused.value.details
    assert ("Synology DiskStation" in refused.value.details) == bool(page)
    assert "reverse proxy" in refused.value.resolution


def test_a_page_instead_of_json_is_told_with_its_title(tmp_path: Path) -> None:
    with (
        tls_peer(tmp_path, page=NAS, status=200, body=NAS) as peer,
        pytest.raises(AuthenticationError, match="is not a Proxmox VE API") as refused,
    ):
        ask(peer.url, TlsSpec(ca_file=peer.cert_file))
    assert "Synology DiskStation" in refused.value.details


def test_the_path_of_a_reverse_proxy_is_asked_for(tmp_path: Path) -> None:
    with tls_peer(tmp_path, status=404) as peer, pytest.raises(AuthenticationError):
        ask(f"{peer.url}/home/pve", TlsSpec(ca_file=peer.cert_file))
    asked = [path for path in peer.asked if path != "/"]
    assert asked
    assert all(path.startswith("/home/pve/api2/json/") for path in asked)

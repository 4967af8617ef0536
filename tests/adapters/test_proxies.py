"""Whatever proxies the environment has: what is near is asked without, and none of them ends in a traceback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.adapters.artifacts.download import Downloader
from bootstrap.adapters.artifacts.proxies import is_near
from bootstrap.adapters.kube.credentials import parse_kubeconfig
from bootstrap.adapters.kube.http import KubeHttp
from bootstrap.errors import ArtifactError
from tests.adapters.kube_server import KubeServer
from tests.adapters.releases import BINARY, VERSION, ReleaseServer

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
UNUSABLE = (
    "ftp://127.0.0.1:9",
    "socks5://127.0.0.1:9",
    "socks5h://127.0.0.1:9",
    "http://127.0.0.1:port",
    "http://[::1",
    "://",
    "http://",
)


class Listener:
    """Counts connections, and closes them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            near.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def proxy() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def release() -> Iterator[ReleaseServer]:
    server = ReleaseServer()
    yield server
    server.stop()


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    server = KubeServer()
    yield server
    server.stop()


def set_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in (*VARIABLES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in VARIABLES:
        monkeypatch.setenv(name, url)


@pytest.mark.parametrize("url", ["", *UNUSABLE])
def test_kubernetes_is_never_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, kube: KubeServer, proxy: Listener, url: str
) -> None:
    """Its client takes HTTPS_PROXY by itself; socks without the library was an ImportError out of any verb."""
    set_proxy(monkeypatch, url or proxy.url)
    http = KubeHttp(parse_kubeconfig(kube.kubeconfig))
    try:
        assert http.ask(http.client.get, "/readyz").status == 200
    finally:
        http.close()
    assert proxy.count == 0


@pytest.mark.parametrize("url", ["", *UNUSABLE])
def test_a_mirror_that_is_near_is_asked_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, release: ReleaseServer, proxy: Listener, url: str, tmp_path: Path
) -> None:
    set_proxy(monkeypatch, url or proxy.url)
    path = next(path for path in release.files if path.endswith("/k3s"))
    Downloader(attempts=1).fetch(f"{release.url}{path}", tmp_path / "k3s", what=f"k3s {VERSION}")
    assert (tmp_path / "k3s").read_bytes() == BINARY
    assert proxy.count == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_far_is_asked_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, proxy: Listener, scheme: str, tmp_path: Path
) -> None:
    set_proxy(monkeypatch, proxy.url)
    with pytest.raises(ArtifactError):
        Downloader(attempts=1).fetch(f"{scheme}://releases.example.org/k3s", tmp_path / "k3s", what="k3s")
    assert proxy.count == 1


@pytest.mark.parametrize("url", UNUSABLE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_used_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, url: str, scheme: str, tmp_path: Path
) -> None:
    """Without PySocks it was "it would no longer come over https"."""
    set_proxy(monkeypatch, url.replace("://", "://me:open-sesame@", 1) if url.endswith(":9") else url)
    with pytest.raises(ArtifactError, match="the proxy from the environment is invalid") as refused:
        Downloader(attempts=1).fetch(f"{scheme}://releases.example.org/k3s", tmp_path / "k3s", what="k3s")
    assert "HTTPS_PROXY" in refused.value.resolution
    assert "open-sesame" not in f"{refused.value}{refused.value.details}"


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("192.168.1.10", True),
        ("10.0.0.1", True),
        ("100.64.0.1", True),
        ("127.0.0.1", True),
        ("169.254.1.1", True),
        ("fd00::1", True),
        ("fe80::1%eth0", True),
        ("mirror", True),
        ("mirror.lan", True),
        ("Mirror.Home.Arpa.", True),
        ("1.1.1.1", False),
        ("2606:4700::1111", False),
        ("github.com", False),
        ("lan.example.org", False),
    ],
)
def test_what_is_near(host: str, near: bool) -> None:
    assert is_near(host) == near

"""The system's CAs count, its user's own among them, wherever they are kept; certifi's list does not."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.adapters import system_cas
from bootstrap.adapters.artifacts.download import Downloader
from bootstrap.adapters.probes import NetworkProbes
from bootstrap.adapters.system_cas import verifying_context
from bootstrap.errors import ArtifactError
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from tests.adapters.hostile_site import Site, serving
from tests.adapters.tls_peer import make_certificate, tls_peer


@pytest.fixture(params=["OpenSSL's files", "truststore"])
def keeps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has its CAs. truststore reads SSL_CERT_FILE, too, except on macOS."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(system_cas, "_openssl_finds_the_systems", lambda: request.param != "truststore")


@pytest.fixture
def cert_file(tmp_path: Path) -> Path:
    return make_certificate(tmp_path)


@pytest.fixture
def site(cert_file: Path) -> Iterator[Site]:
    with serving(cert_file) as site:
        yield site


def fetch(site: Site, to: Path) -> None:
    Downloader(attempts=1).fetch(f"{site.url}/k3s", to, what="k3s")


@pytest.mark.usefixtures("keeps")
def test_a_download_is_trusted_by_the_users_own_ca(
    site: Site, cert_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArtifactError, match="cannot fetch k3s") as caught:
        fetch(site, tmp_path / "k3s")
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.details
    monkeypatch.setenv("SSL_CERT_FILE", str(cert_file))
    fetch(site, tmp_path / "k3s")
    assert (tmp_path / "k3s").read_bytes() == site.piece


@pytest.mark.usefixtures("keeps")
def test_what_is_named_for_requests_counts_instead(
    site: Site, cert_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(cert_file))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(make_certificate(tmp_path / "other")))
    with pytest.raises(ArtifactError, match="cannot fetch k3s"):
        fetch(site, tmp_path / "k3s")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert_file))
    fetch(site, tmp_path / "k3s")


@pytest.mark.usefixtures("keeps")
def test_a_proxmox_ve_is_judged_by_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_peer(tmp_path) as peer:
        endpoint = PveEndpoint(url=peer.url, token=ApiToken(user="a@pve", name="b", secret="c"), tls=TlsSpec())
        assert "self" in NetworkProbes().endpoint(endpoint).certificate.problem
        monkeypatch.setenv("SSL_CERT_FILE", str(peer.cert_file))
        assert NetworkProbes().endpoint(endpoint).certificate.trust == "signed by a CA of this system"


def test_openssl_is_asked_where_it_has_them_and_the_keychain_on_macos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cert_file: Path
) -> None:
    def found(cafile: str, capath: str) -> bool:
        paths = ssl.DefaultVerifyPaths(cafile, capath, "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
        return system_cas._openssl_finds_the_systems()

    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    empty, hashed = tmp_path / "empty", tmp_path / "hashed"
    empty.mkdir()
    hashed.mkdir()
    (hashed / "002c0b4f.0").write_text(cert_file.read_text())
    assert [found(str(cert_file), ""), found("", str(hashed)), found("", str(empty)), found("", "")] == [
        True, True, False, False,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not found(str(cert_file), str(hashed))
    monkeypatch.setenv("SSL_CERT_FILE", str(cert_file))
    assert found(str(cert_file), "")


def test_every_python_takes_the_same_certificates(cert_file: Path) -> None:
    """Python 3.13 alone would refuse Proxmox VE's own CA, which has no critical mark, and take one that is no root."""
    flags = verifying_context(cert_file).verify_flags
    assert not flags & ssl.VERIFY_X509_STRICT
    assert flags & ssl.VERIFY_X509_PARTIAL_CHAIN

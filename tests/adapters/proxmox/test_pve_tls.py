"""How the certificate is checked: pinned, by a CA file, by the system's CAs, or not at all."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bootstrap.adapters.proxmox import tls
from bootstrap.errors import AuthenticationError
from bootstrap.model.endpoint import TlsSpec
from bootstrap.model.ids import ClusterName
from tests.adapters.proxmox.pve_lab import VMIDS, Lab

DEMO = ClusterName("demo")
OTHER = ":".join(["AB"] * 32)


def pem_of(lab: Lab) -> str:
    parts = urlsplit(lab.info.endpoint)
    return ssl.get_server_certificate((str(parts.hostname), int(parts.port or 0)))


@pytest.mark.parametrize("change", [str, str.lower, lambda text: text.replace(":", "")])
def test_the_pinned_certificate_is_accepted_however_its_fingerprint_is_written(lab: Lab, change: type[str]) -> None:
    hypervisor = lab.connect(tls=TlsSpec(fingerprint=change(lab.info.fingerprint)))
    assert hypervisor.observe(cluster=DEMO, vmids=VMIDS).templates


def test_another_certificate_is_refused_with_both_fingerprints_and_how_to_pin_it(lab: Lab) -> None:
    with pytest.raises(AuthenticationError, match="is not the pinned one") as raised:
        lab.connect(tls=TlsSpec(fingerprint=OTHER)).observe(cluster=DEMO, vmids=VMIDS)
    found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem_of(lab))).hexdigest().upper()
    assert lab.info.fingerprint.replace(":", "") == found
    assert raised.value.details == f"expected {OTHER}\nfound    {lab.info.fingerprint}"
    assert f"fingerprint: {lab.info.fingerprint}" in raised.value.resolution
    assert raised.value.exit_code == 4
    assert lab.seen == []  # nothing was sent: the token neither


@pytest.mark.parametrize("text", ["", "AB:CD", "ZZ" * 32, "AB" * 20])
def test_a_fingerprint_that_is_none_is_refused_before_anything_is_sent(lab: Lab, text: str) -> None:
    with pytest.raises(AuthenticationError, match="not one of SHA-256"):
        lab.connect(tls=TlsSpec(fingerprint=text))


def test_a_certificate_no_ca_vouches_for_is_refused_with_its_fingerprint(lab: Lab) -> None:
    with pytest.raises(AuthenticationError, match="cannot be trusted") as raised:
        lab.connect(tls=TlsSpec()).observe(cluster=DEMO, vmids=VMIDS)
    assert lab.info.fingerprint in raised.value.details
    assert f"fingerprint: {lab.info.fingerprint}" in raised.value.resolution
    assert lab.seen == []


def test_a_ca_file_vouches(lab: Lab, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(pem_of(lab))
    assert lab.connect(tls=TlsSpec(ca_file=ca_file)).observe(cluster=DEMO, vmids=VMIDS).templates


def test_a_ca_file_that_is_not_there_or_none_is_told(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="CA file is not there"):
        lab.connect(tls=TlsSpec(ca_file=tmp_path / "no.pem"))
    (tmp_path / "bad.pem").write_text("hello")
    with pytest.raises(AuthenticationError, match="cannot be trusted"):
        lab.connect(tls=TlsSpec(ca_file=tmp_path / "bad.pem")).observe(cluster=DEMO, vmids=VMIDS)


def test_insecure_accepts_anything(lab: Lab) -> None:
    assert lab.connect(tls=TlsSpec(insecure=True)).observe(cluster=DEMO, vmids=VMIDS).templates


def test_the_systems_cas_are_taken_not_certifis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "system.pem"
    own.write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    assert tls.verification(TlsSpec()) == str(own)


def test_the_rest_of_the_program_starts_without_proxmoxer() -> None:
    """Only this adapter pays for it."""
    code = (
        "import sys, bootstrap.adapters, bootstrap.ports; print('proxmoxer' in sys.modules, 'requests' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_proxy_of_the_environment_is_not_asked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert lab.connect().observe(cluster=DEMO, vmids=VMIDS).templates

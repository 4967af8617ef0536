"""How the certificate is checked: pinned, by a CA file, by the system's CAs, or not at all."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bootstrap.errors import AuthenticationError
from bootstrap.lab.front.gateway.certs import make_certificate
from bootstrap.model.access.endpoint import TlsSpec
from bootstrap.model.ids import ClusterName
from tests.adapters.proxmox.pve_lab import PVE1, TEMPLATE, VMIDS, Lab, Relay

DEMO = ClusterName("demo")
OTHER = ":".join(["AB"] * 32)


def target_of(lab: Lab) -> tuple[str, int]:
    parts = urlsplit(lab.info.endpoint)
    return str(parts.hostname), int(parts.port or 0)


def pem_of(lab: Lab) -> str:
    return ssl.get_server_certificate(target_of(lab))


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
    with pytest.raises(AuthenticationError, match="CA file cannot be used") as raised:
        lab.connect(tls=TlsSpec(ca_file=tmp_path / "bad.pem"))
    assert str(tmp_path / "bad.pem") in raised.value.details


def test_a_ca_file_of_another_ca_does_not_vouch(lab: Lab, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, address="127.0.0.1", names=("pve1",))
    with pytest.raises(AuthenticationError, match="cannot be trusted"):
        lab.connect(tls=TlsSpec(ca_file=other.cert_file)).observe(cluster=DEMO, vmids=VMIDS)
    assert lab.seen == []


def test_a_trusted_certificate_is_refused_at_an_address_it_does_not_name(lab: Lab, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(pem_of(lab))
    relay = Relay(target_of(lab), host="127.0.0.2")
    try:
        endpoint = replace(lab.endpoint, url=f"https://127.0.0.2:{relay.port}", tls=TlsSpec(ca_file=ca_file))
        with pytest.raises(AuthenticationError, match="cannot be trusted"):
            lab.connect_to(endpoint).observe(cluster=DEMO, vmids=VMIDS)
    finally:
        relay.close()
    assert lab.seen == []


def test_many_lanes_share_few_connections_and_close_none(lab: Lab) -> None:
    relay = Relay(target_of(lab))
    try:
        hypervisor = lab.connect_to(replace(lab.endpoint, url=f"https://127.0.0.1:{relay.port}"))
        with ThreadPoolExecutor(100) as pool:
            templates = list(pool.map(lambda _: hypervisor.read_vm(TEMPLATE, pve_node=PVE1).vmid, range(300)))
        assert templates == [TEMPLATE] * 300
        assert 1 <= relay.accepted <= 32
    finally:
        relay.close()


def test_insecure_accepts_anything(lab: Lab) -> None:
    assert lab.connect(tls=TlsSpec(insecure=True)).observe(cluster=DEMO, vmids=VMIDS).templates


def test_the_systems_cas_are_taken_not_certifis(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "system.pem"
    own.write_text(pem_of(lab))
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    assert lab.connect(tls=TlsSpec()).observe(cluster=DEMO, vmids=VMIDS).templates


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

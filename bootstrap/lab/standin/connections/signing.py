"""Requests for certificates: reading them, and signing them as the controller manager does."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from .pki import Pki

BACKDATED_S = 300
"""A certificate is valid from five minutes before it is made (pkg/controller/certificates/signer)."""
LONGEST_S = 8760 * 3600
"""The controller manager's --cluster-signing-duration, by default."""
SHORTEST_S = 600
SHORT_S = 8 * 3600
"""The end of longer ones is backdated too (pkg/controller/certificates/authority)."""
KEY_USAGES = {"digital signature": "digitalSignature", "key encipherment": "keyEncipherment"}
LONG_NAMES = {"commonName": "CN", "organizationName": "O"}


def subject_of(request: bytes) -> dict[str, list[str]]:
    """Common name and organizations of a request in PEM. Raises ValueError for anything else."""
    if not request.lstrip().startswith(b"-----BEGIN CERTIFICATE REQUEST-----"):
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    command = ["openssl", "req", "-noout", "-verify", "-subject", "-nameopt", "multiline,utf8,-esc_msb"]
    done = subprocess.run(command, input=request, capture_output=True, check=False)
    if done.returncode:
        raise ValueError("asn1: structure error: malformed certificate request")
    found: dict[str, list[str]] = {"CN": [], "O": []}
    for line in done.stdout.decode(errors="replace").splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() in LONG_NAMES:
            found[LONG_NAMES[name.strip()]].append(value.strip())
    return found


def sign_request(pki: Pki, request: bytes, usages: Iterable[str], expires_s: int | None) -> bytes:
    """The certificate for a request, by the CA of clients; PEM.

    Args:
        pki: Has the CA.
        request: PEM; its subject is kept.
        usages: Those of the CertificateSigningRequest.
        expires_s: How long it is wanted, or None; it is between ten minutes and a year.
    """
    now = time.time()
    lasts_s = LONGEST_S if expires_s is None else max(SHORTEST_S, min(expires_s, LONGEST_S))
    end = now + lasts_s - (BACKDATED_S if lasts_s >= SHORT_S else 0)
    words = [word for usage, word in KEY_USAGES.items() if usage in usages]
    keys = f"keyUsage=critical,{','.join(words)}\n" if words else ""
    with tempfile.TemporaryDirectory(dir=pki.folder) as name:
        folder = Path(name)
        (folder / "index.txt").touch()
        (folder / "request.pem").write_bytes(request)
        (folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\nrand_serial=yes\n"
            "unique_subject=no\ndefault_md=sha256\npolicy=any\nx509_extensions=ext\nemail_in_dn=no\n"
            "[any]\ncommonName=supplied\norganizationName=optional\norganizationalUnitName=optional\n"
            f"[ext]\nbasicConstraints=critical,CA:FALSE\n{keys}extendedKeyUsage=clientAuth\n"
            "authorityKeyIdentifier=keyid\n"
        )
        command = ["openssl", "ca", "-batch", "-notext", "-preserveDN", "-config", str(folder / "ca.cnf"),
                   "-cert", str(pki.path("client-ca.crt")), "-keyfile", str(pki.path("client-ca.key")),
                   "-startdate", utc(now - BACKDATED_S), "-enddate", utc(end),
                   "-in", str(folder / "request.pem")]  # fmt: skip
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip())
    return done.stdout


def utc(at: float) -> str:
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(at))

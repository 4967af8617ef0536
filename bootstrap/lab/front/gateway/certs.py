"""The lab's self-signed certificate, made for each lab."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME_DAYS = 730  # as Proxmox VE's own node certificate


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Files of a certificate and its SHA-256 fingerprint in Proxmox's form, `AA:BB:...`."""

    cert_file: Path
    key_file: Path
    fingerprint: str


def make_certificate(directory: Path, *, address: str, names: tuple[str, ...]) -> Certificate:
    """Write `lab.crt` and `lab.key` (0600) into `directory`, for an address and the Proxmox nodes' names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "homelab-k8s lab"),
            x509.NameAttribute(NameOID.COMMON_NAME, names[0]),
        ]
    )
    alternatives: list[x509.GeneralName] = [x509.IPAddress(ip_address(address)), x509.DNSName("localhost")]
    alternatives += [x509.DNSName(name) for name in names]
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=LIFETIME_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "lab.crt", directory / "lab.key"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_file.unlink(missing_ok=True)  # a key left from before may have another mode
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key_pem)
    return Certificate(
        cert_file=cert_file, key_file=key_file, fingerprint=cert.fingerprint(hashes.SHA256()).hex(":").upper()
    )

"""Certificates as k3s makes them: a client's, issued by the client CA, beside a server CA that did not issue it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeAlias

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, kw_only=True)
class Issued:
    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        form = serialization.PrivateFormat.TraditionalOpenSSL
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def issue(name: str, *, by: Issued | None = None, authority: bool = False, key: Key | None = None) -> Issued:
    """A certificate of this common name, signed by itself where nobody else issues it."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(by.key if by else own, hashes.SHA256())
    )
    return Issued(certificate=built, key=own)


@dataclass(frozen=True, kw_only=True)
class ClusterCertificates:
    server_ca: Issued
    client_ca: Issued
    admin: Issued

    @property
    def chain(self) -> bytes:
        """client-admin.crt, to which k3s appends the client CA."""
        return self.admin.pem + self.client_ca.pem


@cache
def of_a_cluster() -> ClusterCertificates:
    client_ca = issue("k3s-client-ca@1", authority=True)
    return ClusterCertificates(
        server_ca=issue("k3s-server-ca@1", authority=True),
        client_ca=client_ca,
        admin=issue("system:admin", by=client_ca),
    )


@cache
def k3s_yaml(name: str = "default", server: str = "https://127.0.0.1:6443") -> str:
    """A kubeconfig as k3s writes it."""
    made = of_a_cluster()
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "clusters": [
                {"cluster": {"certificate-authority-data": text(made.server_ca.pem), "server": server}, "name": name}
            ],
            "contexts": [{"context": {"cluster": name, "user": name}, "name": name}],
            "current-context": name,
            "kind": "Config",
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": text(made.chain),
                        "client-key-data": text(made.admin.key_pem),
                    },
                }
            ],
        }
    )


def text(pem: bytes) -> str:
    """As kubeconfigs have it."""
    return base64.b64encode(pem).decode("ascii")

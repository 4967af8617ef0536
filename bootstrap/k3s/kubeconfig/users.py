"""Kubeconfigs of users: names, a key and its certificate request, and what Kubernetes signed. Pure but for the key.

A certificate cannot be revoked, so it gives nothing by itself: its name is a new one each time, and it is in no group.
What it may do is in a binding of that one name, which can be removed (docs/adr/0044).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

import yaml

from bootstrap.k3s.kubeconfig.build import own_authority
from bootstrap.k3s.kubeconfig.pem import encoded, understood

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SIGNER: Final = "kubernetes.io/kube-apiserver-client"
SUBJECT: Final = "homelab:"
"""What the names of our users begin with in Kubernetes."""
LEAST_S: Final = 600
"""Kubernetes signs nothing shorter (CertificateSigningRequestSpec, expirationSeconds)."""
MOST_S: Final = 365 * 86400
"""The controller manager's default limit, cluster-signing-duration."""

_USER: Final = r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?"
_NAMESPACE: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SUBJECT: Final = rf"{SUBJECT}(?P<user>{_USER}):[0-9a-f]{{8}}"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_CHARS: Final = 1 << 16


def user_problem(name: str) -> str:
    """Why this cannot be a user's name; empty where it can."""
    if name.startswith("system:"):
        return "names that begin with system: are Kubernetes' own"
    if not re.fullmatch(_USER, name):
        return "a name has at most 40 lower-case letters, digits and hyphens, and begins with a letter"
    return ""


def is_namespace(name: str) -> bool:
    """Whether this can be a namespace's name."""
    return re.fullmatch(_NAMESPACE, name) is not None


def subject_of(user: str, issue: str) -> str:
    """What Kubernetes calls a user: `homelab:NAME:ISSUE`, the issue in eight hex digits."""
    return f"{SUBJECT}{user}:{issue}"


def user_in(subject: str) -> str | None:
    """The user that one of our names is of; None for any other."""
    found = re.fullmatch(_SUBJECT, subject, re.ASCII)
    return found["user"] if found else None


def parse_expiry(text: str) -> int:
    """Seconds of `30m`, `8h`, `7d`. Raises ValueError with what is wrong."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text, re.ASCII)
    if found is None:
        raise ValueError("write a number and s, m, h or d, such as 8h")
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds < LEAST_S:
        raise ValueError("Kubernetes signs certificates for 10 minutes or more")
    if seconds > MOST_S:
        raise ValueError("Kubernetes signs certificates for 365 days at most")
    return seconds


@dataclass(frozen=True, kw_only=True)
class UserKey:
    """A key that was made here, and the request for its certificate, as PEM text."""

    key: str = field(repr=False)
    request: str


def make_user_key(subject: str) -> UserKey:
    """A new key, and a request with that name and no group."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return UserKey(key=pem.decode("ascii"), request=request.public_bytes(serialization.Encoding.PEM).decode("ascii"))


@dataclass(frozen=True, kw_only=True)
class UserCertificate:
    """What Kubernetes signed: PEM text, and when it ends (UTC)."""

    pem: str
    expires: datetime


def read_certificate(pem: str, *, key: UserKey, subject: str) -> UserCertificate:
    """Read what was signed.

    Raises:
        ValueError: It is not for that key, or has another name or a group.
    """
    certificate = _certificate(pem)
    if certificate.public_key() != _public_key(key):
        raise ValueError("it is for another key")
    named = [(each.oid.dotted_string, str(each.value)) for each in certificate.subject]
    if named != [(_COMMON_NAME, subject)]:
        raise ValueError("it has another name, or a group")
    return UserCertificate(pem=encoded([certificate]), expires=certificate.not_valid_after_utc)


_COMMON_NAME: Final = "2.5.4.3"


def _certificate(pem: str) -> Certificate:
    from cryptography import x509

    if len(pem) > _MOST_CHARS:
        raise ValueError(f"it has {len(pem)} characters")
    found = understood("the certificate", lambda: x509.load_pem_x509_certificates(pem.encode()))
    return found[0]


def _public_key(key: UserKey) -> object:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(key.key.encode(), password=None).public_key()


def user_kubeconfig(
    admins: str, *, user: str, certificate: UserCertificate, key: UserKey, namespace: str | None
) -> str:
    """A kubeconfig with the administrator's cluster and a user of its own; the context is `USER@CLUSTER`.

    Raises:
        KubernetesError: The administrator's is not one of ours.
    """
    from base64 import b64encode

    cluster, server, authority = own_authority(admins)
    context = f"{user}@{cluster}"
    data = {name: b64encode(text.encode("ascii")).decode("ascii") for name, text in (
        ("certificate-authority-data", authority), ("client-certificate-data", certificate.pem),
        ("client-key-data", key.key),
    )}  # fmt: skip
    inside = {"cluster": cluster, "user": context} | ({"namespace": namespace} if namespace else {})
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server} | _only(data, "certificate-authority-data")}],
        "users": [{"name": context, "user": _only(data, "client-certificate-data", "client-key-data")}],
        "contexts": [{"name": context, "context": inside}],
        "current-context": context,
    }
    return yaml.safe_dump(config, default_flow_style=False, sort_keys=False)


def _only(data: dict[str, str], *names: str) -> dict[str, str]:
    return {name: data[name] for name in names}

"""The three PEM blocks of an administrator's kubeconfig: decoded, found to fit together, and written again.

Nothing of the given text is passed on: what comes out is encoded from what was understood.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_MOST_BYTES = 1 << 16
"""Of one block: a chain of a few certificates has 4 KiB, and the check of an RSA key takes long for absurd numbers."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class AdminPems:
    """What a client needs for a cluster, as PEM text.

    Attributes:
        authority: The CA certificates that the API's certificate is checked with.
        certificate: The client's certificate, with its issuers'.
        key: The client's private key, of the kind EC or RSA.
    """

    authority: str
    certificate: str
    key: str = field(repr=False)


def read_pems(*, authority: object, certificate: object, key: object) -> AdminPems:
    """Decode the base64 values of a kubeconfig and see that they fit together.

    The client's certificate is not compared with the CA: k3s has it issued by another one, its client CA, which no
    kubeconfig has (pkg/daemons/control/deps). k3s appends that CA to the certificate, so that it can be checked there.

    Raises:
        ValueError: What is wrong, in words that hold nothing of the values.
    """
    authorities = _certificates(authority, "certificate-authority-data")
    if not all(_is_authority(one) for one in authorities):
        raise ValueError("certificate-authority-data has a certificate that is not a CA")
    chain = _certificates(certificate, "client-certificate-data")
    if len(chain) > 1:
        understood("client-certificate-data", lambda: chain[0].verify_directly_issued_by(chain[1]))
    return AdminPems(
        authority=encoded(authorities),
        certificate=encoded(chain),
        key=_key_of(chain[0], _decoded(key, "client-key-data")),
    )


def _certificates(value: object, what: str) -> list[Certificate]:
    from cryptography import x509

    pem = _decoded(value, what)
    return understood(what, lambda: x509.load_pem_x509_certificates(pem))


def _is_authority(certificate: Certificate) -> bool:
    from cryptography import x509

    what = "certificate-authority-data"
    constraints = understood(what, lambda: certificate.extensions.get_extension_for_class(x509.BasicConstraints).value)
    return constraints.ca


def _key_of(certificate: Certificate, pem: bytes) -> str:
    """The certificate's private key as k3s writes it (`EC PRIVATE KEY`, `RSA PRIVATE KEY`)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    what = "client-key-data"
    key = understood(what, lambda: serialization.load_pem_private_key(pem, password=None))
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError(f"{what} is neither an EC nor an RSA key")
    if understood("client-certificate-data", certificate.public_key) != key.public_key():
        raise ValueError("client-key-data is not the key of client-certificate-data")
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return encoded.decode("ascii")


def understood(what: str, read: Callable[[], T]) -> T:
    """What is read with cryptography. Its errors' own words are not told: they may quote the value."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.x509 import DuplicateExtension, ExtensionNotFound

    try:
        return read()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, DuplicateExtension, ExtensionNotFound) as e:
        raise ValueError(f"{what} cannot be used ({type(e).__name__})") from None


def _decoded(value: object, what: str) -> bytes:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} is missing")
    if len(value) > _MOST_BYTES:
        raise ValueError(f"{what} has {len(value)} characters, more than {_MOST_BYTES}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{what} is not base64") from None


def encoded(certificates: list[Certificate]) -> str:
    """Certificates as PEM text."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(certificate.public_bytes(Encoding.PEM).decode("ascii") for certificate in certificates)

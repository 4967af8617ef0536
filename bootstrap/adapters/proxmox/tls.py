"""How the API's certificate is checked: a pinned fingerprint, a CA file, the system's CAs, or not at all."""

from __future__ import annotations

import hashlib
import re
import ssl
import warnings
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InsecureRequestWarning

from bootstrap.errors import AuthenticationError
from bootstrap.model.endpoint import TlsSpec

_POOL_SIZE = 32
"""Connections kept open: no run has more lanes busy at once, and one session served 32 threads well."""
_PEEK_TIMEOUT_S = 10.0


class PinnedAdapter(HTTPAdapter):
    """Accepts the one certificate that has the fingerprint, whoever signed it and whatever names it carries."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__(pool_connections=_POOL_SIZE, pool_maxsize=_POOL_SIZE)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - requests' own signature
        """Hand the fingerprint on to urllib3, which compares it before a byte is sent."""
        super().init_poolmanager(*args, **kwargs, assert_fingerprint=self._fingerprint)


def normal_fingerprint(text: str) -> str:
    """A SHA-256 fingerprint as Proxmox shows it: upper-case hex pairs with colons.

    Raises:
        AuthenticationError: It is none.
    """
    digits = re.sub(r"[\s:]", "", text).upper()
    if not re.fullmatch(r"[0-9A-F]{64}", digits):
        raise AuthenticationError(
            "the certificate fingerprint is not one of SHA-256",
            details=text,
            resolution="give 32 pairs of hex digits; `pvenode cert info` on the Proxmox node prints them",
        )
    return ":".join(digits[index : index + 2] for index in range(0, 64, 2))


def verification(tls: TlsSpec) -> bool | str:
    """What requests takes as `verify`: False where the fingerprint decides (or nothing does), else the CAs' place.

    Raises:
        AuthenticationError: The CA file is not there.
    """
    if tls.fingerprint is not None or tls.insecure:
        return False
    if tls.ca_file is not None:
        if not tls.ca_file.is_file():
            raise AuthenticationError(
                "the Proxmox CA file is not there",
                details=str(tls.ca_file),
                resolution="copy /etc/pve/pve-root-ca.pem from a Proxmox node to it, or pin the fingerprint instead",
            )
        return str(tls.ca_file)
    # requests would take certifi's list, which lacks what the user has added to the system's.
    system = ssl.get_default_verify_paths()
    return system.cafile or system.capath or True


def mount(session: requests.Session, tls: TlsSpec) -> None:
    """Give a session the adapter that checks as `tls` says. Raises AuthenticationError on a malformed fingerprint."""
    if tls.fingerprint is not None:
        session.mount("https://", PinnedAdapter(normal_fingerprint(tls.fingerprint).replace(":", "")))
        return
    session.mount("https://", HTTPAdapter(pool_connections=_POOL_SIZE, pool_maxsize=_POOL_SIZE))
    if tls.insecure:
        # Said once and aloud by whoever reads the inventory; here it would come with every connection.
        warnings.filterwarnings("ignore", category=InsecureRequestWarning)


def certificate_error(error: Exception, *, host: str, port: int, tls: TlsSpec) -> AuthenticationError:
    """The error for a certificate that was not accepted: what was found, and how to accept it."""
    found = found_fingerprint(host, port)
    pin = f"pin it with `fingerprint: {found}`" if found else "pin its fingerprint"
    check = "after comparing it with what `pvenode cert info` prints on the Proxmox node (pveproxy-ssl.pem if there)"
    if tls.fingerprint is not None and found is not None:
        return AuthenticationError(
            f"the certificate of {host}:{port} is not the pinned one",
            details=f"expected {normal_fingerprint(tls.fingerprint)}\nfound    {found}",
            resolution=f"if the certificate was renewed, {pin} {check}; else somebody else answers at that address",
        )
    return AuthenticationError(
        f"the certificate of {host}:{port} cannot be trusted",
        details=f"{error}\nits SHA-256 fingerprint is {found or 'unknown'}",
        resolution=f"{pin} {check}, or give `ca_file` a copy of /etc/pve/pve-root-ca.pem",
    )


def found_fingerprint(host: str, port: int) -> str | None:
    """The fingerprint of the certificate shown now, unchecked; None where there is none to be had."""
    try:
        pem = ssl.get_server_certificate((host, port), timeout=_PEEK_TIMEOUT_S)
    except (OSError, ValueError):
        return None
    return normal_fingerprint(hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest())

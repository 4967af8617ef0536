"""How the API's certificate is checked: a pinned fingerprint, a CA file, the system's CAs, or not at all."""

from __future__ import annotations

import re
import ssl
import warnings
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, InsecureRequestWarning
from urllib3.util.ssl_ import create_urllib3_context

from bootstrap.adapters.first_page import fingerprint_of, out_of_date
from bootstrap.adapters.proxmox.client.answer_limits import read_whole
from bootstrap.adapters.system_cas import verifying_context
from bootstrap.errors import AuthenticationError
from bootstrap.model.access.endpoint import TlsSpec

_POOL_SIZE = 32
"""Connections kept open: no run has more lanes busy at once, and one session served 32 threads well."""
_PEEK_TIMEOUT_S = 10.0


class _Connection(HTTPSConnection):
    """Reports a TLS handshake without an answer as a connection that was not made: nothing was sent yet.

    For urllib3 it is a read that timed out, after which a request may or may not have been carried out.
    """

    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as error:  # the handshake's; urllib3 has its own for what is before it
            raise ConnectTimeoutError(
                self, f"{self.host}:{self.port} takes connections, but no TLS handshake was answered in time"
            ) from error


class _Pool(HTTPSConnectionPool):
    """A pool of these connections."""

    ConnectionCls = _Connection


class ContextAdapter(HTTPAdapter):
    """Checks every connection with one context, made once, and by a fingerprint where one is given.

    requests would make a context and load CAs into it for each connection: 10 ms and 1 MiB with a system's list of CAs.

    Args:
        context: Its verify mode, names and CAs are what counts; requests' `verify` is not asked.
        fingerprint: Hex digits of the one certificate that is accepted, no matter who signed it and what names it
            carries; urllib3 compares it before a byte is sent.
    """

    def __init__(self, context: ssl.SSLContext, *, fingerprint: str | None = None) -> None:
        self._context = context
        self._fingerprint = fingerprint
        # A lane that finds all connections busy waits for one: a further one would be closed after its only request.
        super().__init__(pool_connections=1, pool_maxsize=_POOL_SIZE, pool_block=True)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - requests' own signature
        """Hand context and fingerprint on to urllib3."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context, assert_fingerprint=self._fingerprint)
        self.poolmanager.pool_classes_by_scheme = {"https": _Pool}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401 - requests' own signature
        """Send, and read the answer as far as it may go, see `answer_limits.read_whole`."""
        return read_whole(super().send(request, *args, **{**kwargs, "stream": True}))

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: object, cert: object = None
    ) -> Any:  # noqa: ANN401 - requests has no public name for it
        """Host and port, and nothing about certificates: what is here would outweigh the context."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)  # type: ignore[arg-type]
        return host, {}

    def cert_verify(self, conn: object, url: object, verify: object, cert: object) -> None:
        """Leave the connections as the context has them."""


def normal_fingerprint(text: str) -> str:
    """A SHA-256 fingerprint as Proxmox shows it: upper-case hex pairs with colons.

    Raises:
        AuthenticationError: It is none.
    """
    digits = re.sub(r"[\s:]", "", text)
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", digits):
        raise AuthenticationError(
            "the certificate fingerprint is not one of SHA-256",
            details=text,
            resolution="give 32 pairs of hex digits; `pvenode cert info` on the Proxmox node prints them",
        )
    return bytes.fromhex(digits).hex(":").upper()


def context_of(tls: TlsSpec) -> ssl.SSLContext:
    """The context that checks certificates: with CAs, or none where the fingerprint decides, or nothing is checked.

    Raises:
        AuthenticationError: The CA file is missing, or has no CA.
    """
    if tls.fingerprint is not None or tls.insecure:
        return create_urllib3_context(cert_reqs=ssl.CERT_NONE)
    if tls.ca_file is not None and not tls.ca_file.is_file():
        raise AuthenticationError(
            "the Proxmox CA file is not there",
            details=str(tls.ca_file),
            resolution="copy /etc/pve/pve-root-ca.pem from a Proxmox node to it, or pin the fingerprint instead",
        )
    try:
        # requests would take certifi's list, which lacks what the user has added to the system's.
        return verifying_context(tls.ca_file)
    except OSError as error:
        raise AuthenticationError(
            "the Proxmox CA file cannot be used",
            details=f"{tls.ca_file}: {error}",
            resolution="copy /etc/pve/pve-root-ca.pem from a Proxmox node to it (PEM text that begins with "
            "-----BEGIN CERTIFICATE-----), or pin the fingerprint instead",
        ) from error


def mount(session: requests.Session, tls: TlsSpec) -> None:
    """Give a session the adapter that checks certificates as `tls` says.

    Raises:
        AuthenticationError: The fingerprint is malformed, or the CA file cannot be used.
    """
    fingerprint = None if tls.fingerprint is None else normal_fingerprint(tls.fingerprint).replace(":", "")
    session.mount("https://", ContextAdapter(context_of(tls), fingerprint=fingerprint))
    if tls.insecure:
        # The commands warn once; here it would come with every connection.
        warnings.filterwarnings("ignore", category=InsecureRequestWarning)


def certificate_error(error: Exception, *, host: str, port: int, tls: TlsSpec) -> AuthenticationError:
    """The error for a rejected certificate: what was found, and how to accept it."""
    found = found_fingerprint(host, port)
    pin = f"pin it with `fingerprint: {found}`" if found else "pin its fingerprint"
    check = "after comparing it with the output of `pvenode cert info` on the Proxmox node (pveproxy-ssl.pem if there)"
    if tls.fingerprint is not None and found is not None:
        return AuthenticationError(
            f"the certificate of {host}:{port} is not the pinned one",
            details=f"expected {normal_fingerprint(tls.fingerprint)}\nfound    {found}",
            resolution=f"if the certificate was renewed, {pin} {check}; else another server answers at that address",
        )
    dated = out_of_date(str(error), host, port)
    if dated is not None and dated.clocks:
        return AuthenticationError(
            f"the certificate of {host}:{port} is not valid at this computer's time; its clock is probably wrong",
            details=f"{dated.clocks}\n{dated.says}",
            resolution=dated.remedy,
        )
    says = f"{error}\n{dated.says}" if dated is not None else str(error)
    return AuthenticationError(
        f"the certificate of {host}:{port} cannot be trusted",
        details=f"{says}\nits SHA-256 fingerprint is {found or 'unknown'}",
        resolution=f"{pin} {check}, or give `ca_file` a copy of /etc/pve/pve-root-ca.pem",
    )


def found_fingerprint(host: str, port: int) -> str | None:
    """The fingerprint of the certificate presented now, unchecked; None where there is none."""
    try:
        pem = ssl.get_server_certificate((host, port), timeout=_PEEK_TIMEOUT_S)
    except (OSError, ValueError):
        return None
    return fingerprint_of(ssl.PEM_cert_to_DER_cert(pem))

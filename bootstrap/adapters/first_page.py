"""Finds out what answers at an address, unverified: its certificate, its clock, the title of its first page.

The result is only advice for the user: nothing is accepted because of it, and no secret is sent.
"""

from __future__ import annotations

import hashlib
import html
import logging
import re
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import BinaryIO

from cryptography import x509

from bootstrap.errors import AuthenticationError, HomelabError, HypervisorError

TIMEOUT_S = 5.0
PVE_PORT = 8006
PORT_REMEDY = (
    f"Proxmox VE's API listens on port {PVE_PORT} (8007 is Proxmox Backup Server, 443 most often a proxy): "
    "check the endpoint's port"
)
_SET_CLOCK = (
    "`sudo sntp -sS time.apple.com`"
    if sys.platform == "darwin"
    else "`timedatectl set-ntp true`, `timedatectl` shows it"
)
CLOCK_OFF_S = 300.0
"""From this difference on, a wrong clock probably explains a certificate's dates."""

_PAGE = "/"
"""A page without a login: with one, Proxmox VE answers 401 only after 3 s."""
_MOST_BYTES = 65536
_TITLE = re.compile(r"<title>\s*([^<]*?)\s*</title>", re.IGNORECASE)
_OUT_OF_DATE = ("not yet valid", "has expired")
"""OpenSSL's words for X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FirstPage:
    """What answers.

    Attributes:
        der: Its certificate.
        date: The `Date` header as it came; empty without one.
        title: Of the HTML page; empty without one.
    """

    der: bytes
    date: str
    title: str

    @property
    def at(self) -> datetime | None:
        """Its clock, to the second."""
        return parse_http_date(self.date)


@dataclass(frozen=True, kw_only=True)
class OutOfDate:
    """A certificate that is not valid by this computer's clock.

    Attributes:
        says: Since or until when it is valid.
        clocks: Both clocks, where they differ by more than `CLOCK_OFF_S`; empty where they do not, or one is unknown.
        remedy: What to do about the clocks; empty where they are not the cause.
    """

    says: str
    clocks: str = ""
    remedy: str = ""


Dial = Callable[[str, int, float], socket.socket]
"""Connects to a host and port within some seconds. Raises OSError, or HomelabError over jump hosts."""


def connect_directly(host: str, port: int, timeout_s: float) -> socket.socket:
    """A `Dial` without jump hosts."""
    return socket.create_connection((host, port), timeout=timeout_s)


def read_first_page(host: str, port: int, dial: Dial = connect_directly) -> FirstPage:
    """Read it. Raises OSError, ValueError for an invalid name, and what `dial` does."""
    with (
        dial(host, port, TIMEOUT_S) as connection,
        unchecked().wrap_socket(connection, server_hostname=host) as tls,
        tls.makefile("rb") as answer,
    ):
        der = tls.getpeercert(binary_form=True) or b""
        tls.sendall(f"GET {_PAGE} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        lines = iter(lambda: answer.readline(_MOST_BYTES).decode("latin-1").strip(), "")
        dates = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("date:")]
        title = _TITLE.search(_some_of(answer))
    return FirstPage(der=der, date=next(iter(dates), ""), title=html.unescape(title[1]) if title else "")


def unchecked() -> ssl.SSLContext:
    """A context that accepts any certificate: nothing that matters is sent through it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def parse_http_date(text: str) -> datetime | None:
    """The time of a `Date` header; None for another text."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def fingerprint_of(der: bytes) -> str:
    """A certificate's SHA-256 fingerprint as Proxmox shows it: upper-case hex pairs with colons."""
    return hashlib.sha256(der).digest().hex(":").upper()


def title_at(host: str, port: int) -> str:
    """The title of what answers, as in `pve1 - Proxmox Virtual Environment`; empty where there is none."""
    try:
        return read_first_page(host, port).title
    except (OSError, ValueError) as error:
        logger.info("%s:%d shows no page: %s", host, port, error)
        return ""


def place(host: str, port: int) -> str:
    """Host and port for messages, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unreached(host: str, port: int, details: str) -> HypervisorError:
    """The error for an address where no Proxmox VE answers.

    Args:
        host: As in the endpoint.
        port: And its port.
        details: What sockets, OpenSSL or urllib3 said.
    """
    if speaks_no_tls(details):
        return AuthenticationError(
            f"the server at {place(host, port)} does not speak HTTPS", details=details, resolution=PORT_REMEDY
        )
    return HypervisorError(
        f"cannot reach Proxmox VE at {place(host, port)}",
        details=details,
        resolution="check the endpoint's address, that the Proxmox node is up, and that no firewall blocks the "
        "connection" + (f"; {PORT_REMEDY}" if port != PVE_PORT else ""),
    )


def speaks_no_tls(said: str) -> bool:
    """Whether OpenSSL says that the other side answered with something other than TLS: plain HTTP, SSH."""
    text = said.upper().replace(" ", "_")
    return "WRONG_VERSION_NUMBER" in text or "UNKNOWN_PROTOCOL" in text or "HTTP_REQUEST" in text


def out_of_date(refusal: str, host: str, port: int, dial: Dial = connect_directly) -> OutOfDate | None:
    """Why a certificate is not valid now, if TLS refused it for its dates.

    Args:
        refusal: What OpenSSL said.
        host: The server with the certificate.
        port: Its port.
        dial: The way there.
    """
    if not any(word in refusal for word in _OUT_OF_DATE):
        return None
    try:
        page = read_first_page(host, port, dial)
        certificate = x509.load_der_x509_certificate(page.der)
    except (OSError, ValueError, HomelabError) as error:
        logger.info("the certificate of %s:%d cannot be read: %s", host, port, error)
        return None
    now = datetime.now(UTC)
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    says = f"it is not valid before {_said(since)}" if now < since else f"it was valid until {_said(until)}"
    if page.at is None or abs((page.at - now).total_seconds()) <= CLOCK_OFF_S:
        return OutOfDate(says=says)
    return OutOfDate(
        says=says,
        clocks=f"this computer's clock says {_said(now)}, {host} says {_said(page.at)}",
        remedy=f"set the clock that is wrong, most likely this computer's ({_SET_CLOCK}), then run the command again",
    )


def _some_of(answer: BinaryIO) -> str:
    """The beginning of a page; empty, and no error, where it breaks off."""
    try:
        return answer.read(_MOST_BYTES).decode(errors="replace")
    except OSError as error:
        logger.info("no page came: %s", error)
        return ""


def _said(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

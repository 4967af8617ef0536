"""Looks at what answers on the network, with sockets only: sends no secret and changes nothing."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from bootstrap.adapters.first_page import (
    PVE_PORT,
    TIMEOUT_S,
    fingerprint_of,
    out_of_date,
    read_first_page,
    unchecked,
    unreached,
)
from bootstrap.adapters.jump.errors import NotReachedFromHopError
from bootstrap.adapters.jump.ways import Ways
from bootstrap.adapters.system_cas import verifying_context
from bootstrap.errors import GuestError, HomelabError
from bootstrap.model.access.endpoint import PveEndpoint, TlsSpec
from bootstrap.ports import CertificateFacts, EndpointFacts

_HERE_TIMEOUT_S = 0.7
"""For an address on this network; an unused one would take seconds to fail."""
_THERE_TIMEOUT_S = 4.0
"""Through a jump host, whose kernel gives up an address without an ARP answer after 3 s."""
_RESOLVE_TIMEOUT_S = 3.0
_DAY_S = 86400.0
_ARP = Path("/proc/net/arp")
_ARP_FLAGS_FIELD = 2
_INCOMPLETE = "0x0"
_AT_A_MAC = re.compile(r" at [0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}\b")


class NetworkProbes:
    """Implements `bootstrap.ports.Probes`.

    Args:
        ways: How machines are reached; None: directly. Proxmox VE always is.
    """

    def __init__(self, ways: Ways | None = None) -> None:
        self._ways = ways or Ways()

    def endpoint(self, endpoint: PveEndpoint) -> EndpointFacts:
        """See `Probes.endpoint`."""
        parts = urlsplit(endpoint.url)
        host, port = parts.hostname or "", parts.port or PVE_PORT
        try:
            page = read_first_page(host, port)
            problem = "" if endpoint.tls.fingerprint or endpoint.tls.insecure else _distrust(host, port, endpoint.tls)
        except (OSError, ValueError) as error:
            raise unreached(host, port, str(error) or type(error).__name__) from error
        certificate = _judged(page.der, endpoint.tls, problem)
        dated = out_of_date(problem, host, port)
        if dated is not None:
            problem = "\n".join(filter(None, (f"{problem}: {dated.says}", dated.clocks)))
            certificate = replace(certificate, problem=problem, remedy=dated.remedy)
        return EndpointFacts(certificate=certificate, clock_s=_ahead_s(page.at))

    def certificate(self, address: IPv4Address, port: int) -> CertificateFacts:
        """See `Probes.certificate`."""
        try:
            with (
                self._ways.connect(str(address), port, timeout_s=TIMEOUT_S) as connection,
                unchecked().wrap_socket(connection) as tls,
            ):
                return _facts(tls.getpeercert(binary_form=True) or b"")
        except (OSError, ValueError, GuestError) as error:
            raise HomelabError(f"{address}:{port} presents no certificate", details=str(error)) from error

    def resolve(self, name: str) -> tuple[IPv4Address, ...]:
        """See `Probes.resolve`. The system's resolver has no timeout: after a while it is no longer waited for."""
        found: list[IPv4Address] = []

        def ask() -> None:
            with suppress(OSError, UnicodeError):
                entries = socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
                found.extend(IPv4Address(str(entry[4][0])) for entry in entries)

        asking = threading.Thread(target=ask, name="resolve", daemon=True)
        asking.start()
        asking.join(_RESOLVE_TIMEOUT_S)
        return tuple(sorted(set(found)))

    def answers(self, address: IPv4Address) -> bool:
        """See `Probes.answers`. A host that refuses the port exists; one that drops it still answers ARP, if near.

        An ARP entry from before proves nothing: the kernel keeps those of missing machines for minutes. Over a jump
        host only its answer is known: connected, refused, or neither.
        """
        if self._ways.hops(str(address)):
            return self._answers_there(address)
        known = _has_neighbour(address)
        try:
            socket.create_connection((str(address), 22), timeout=_HERE_TIMEOUT_S).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return not known and _has_neighbour(address)
        return True

    def _answers_there(self, address: IPv4Address) -> bool:
        try:
            self._ways.connect(str(address), 22, timeout_s=_THERE_TIMEOUT_S).close()
        except NotReachedFromHopError as error:
            return error.refused
        return True


def _distrust(host: str, port: int, tls: TlsSpec) -> str:
    """Why the CA file or the system's CAs do not verify the certificate; empty where they do."""
    try:
        context = verifying_context(tls.ca_file)
    except OSError as error:
        return f"the CA file {tls.ca_file} cannot be used: {error}"
    with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
        try:
            context.wrap_socket(connection, server_hostname=host).close()
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return ""


def _facts(der: bytes, *, trust: str = "", problem: str = "") -> CertificateFacts:
    ends_s = x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    return CertificateFacts(
        fingerprint=fingerprint_of(der),
        days_left=(ends_s - time.time()) / _DAY_S,
        trust=trust,
        problem=problem,
    )


def _judged(der: bytes, tls: TlsSpec, problem: str) -> CertificateFacts:
    if tls.fingerprint is not None:
        pinned = re.sub("[: ]", "", tls.fingerprint).upper() == fingerprint_of(der).replace(":", "")
        return _facts(der, trust="pinned" if pinned else "", problem="" if pinned else "it is not the pinned one")
    if tls.insecure:
        return _facts(der)
    by = f"signed by {tls.ca_file}" if tls.ca_file is not None else "signed by a CA of this system"
    return _facts(der, trust="" if problem else by, problem=problem)


def _ahead_s(at: datetime | None) -> float | None:
    """By how many seconds a Date header is ahead of the local clock; it has whole seconds, so half of one is added."""
    return None if at is None else at.timestamp() + 0.5 - time.time()


def _has_neighbour(address: IPv4Address) -> bool:
    """Whether the kernel has heard an ARP answer for an address; False where that cannot be read."""
    if sys.platform == "darwin":
        heard = _is_in_arp(address)
    else:
        heard = _is_in_proc(address)
    return heard


def _is_in_arp(address: IPv4Address) -> bool:
    """By macOS's arp(8): `? (192.0.2.9) at 52:54:0:12:34:56 on en0 ...`, `at (incomplete)`, or `no entry`."""
    try:
        done = subprocess.run(
            ["arp", "-n", str(address)], capture_output=True, text=True, timeout=_RESOLVE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return _AT_A_MAC.search(done.stdout) is not None


def _is_in_proc(address: IPv4Address) -> bool:
    try:
        rows = [line.split() for line in _ARP.read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return False
    return any(row[0] == str(address) and row[_ARP_FLAGS_FIELD] != _INCOMPLETE for row in rows)

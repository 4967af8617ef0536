"""HTTPS connections to other machines."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import threading
import urllib.parse

from .. import process
from ..logs import Fatal, log
from .agent_words import unreachable
from .pki import client_context
from .tokens import Token, check_ca


def in_go_words(error: OSError | http.client.HTTPException, host: str, port: int) -> str:
    """This error in the words of k3s's journal, since people and programs read them."""
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    if isinstance(error, TimeoutError):
        return f"dial tcp {host}:{port}: i/o timeout"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    return f"dial tcp {host}:{port}: {getattr(error, 'strerror', None) or error}"


class Link:
    """One kept-alive HTTPS connection; used by one thread at a time."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> None:
        self.host, self.port = host, port
        self.context, self.timeout_s = context, timeout_s
        self._connection: http.client.HTTPSConnection | None = None
        self._lock = threading.Lock()
        process.LIFE.opened(self)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Raises OSError or HTTPException when there is no answer."""
        with self._lock:
            used_before = self._connection is not None
            try:
                return self._once(method, path, body, headers or {})
            except (ConnectionError, ssl.SSLEOFError, http.client.HTTPException):
                if not used_before:
                    raise
                return self._once(method, path, body, headers or {})  # the other side had closed the connection

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        if process.LIFE.ended():
            raise ConnectionAbortedError
        if self._connection is None:
            # From the machine's own address, where one process runs several machines.
            own = None if process.LIFE.bind == process.Life.bind else (process.LIFE.bind, 0)
            self._connection = http.client.HTTPSConnection(
                self.host, self.port, context=self.context, timeout=self.timeout_s, source_address=own
            )
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            raise

    def close(self) -> None:
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def split_url(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise Fatal(f"Invalid server url, failed to parse: {url}")
    return parts.hostname, parts.port or 443


def fetch_ca(host: str, port: int, token: Token, *, balanced: bool = False) -> str:
    """The cluster's CA bundle, checked against the token. Raises ValueError in k3s's words.

    Args:
        balanced: Whether an agent asks, through its local balancer.
    """
    link = Link(host, port, client_context(""), 10)
    try:
        status, raw = link.request("GET", "/cacerts")
    except (OSError, http.client.HTTPException) as error:
        words = f'Get "https://{host}:{port}/cacerts": {in_go_words(error, host, port)}'
        words = unreachable("/cacerts", error) if balanced else words
        raise ValueError(f"failed to get CA certs: {words}") from error
    finally:
        link.close()
    if status != 200:
        raise ValueError(f"failed to get CA certs: https://{host}:{port}/cacerts: {status}")
    check_ca(raw, token, log)
    return raw.decode()


def message_of(status: int, raw: bytes, otherwise: str) -> str:
    """The message of a refusal's Status object; `otherwise` for anything else."""
    try:
        told = json.loads(raw)
    except ValueError:
        return otherwise
    is_status = isinstance(told, dict) and told.get("kind") == "Status"
    return str(told.get("message", status)) if is_status else otherwise

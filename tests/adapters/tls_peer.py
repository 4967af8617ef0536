"""A small HTTPS server with a certificate and a clock of the test's own."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class TlsPeer:
    """Where it listens, its certificate as PEM (which is its own CA), and the paths it was asked for."""

    port: int
    cert_file: Path
    asked: list[str]

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Times:
    """Since when, as seen from now, and for how long the certificate is valid; how far ahead the server's clock is."""

    valid_from: timedelta = timedelta(days=-1)
    valid_for: timedelta = timedelta(days=30)
    clock_ahead: timedelta = timedelta()


@contextmanager
def tls_peer(
    directory: Path,
    *,
    times: Times = Times(),
    page: str = "",
    status: int = 401,
    body: str = "",
) -> Iterator[TlsPeer]:
    """Serve.

    Args:
        directory: For the certificate and its key.
        times: Of the certificate and of the server's `Date`.
        page: HTML of `/`.
        status: With which all else is answered.
        body: And as what.
    """
    cert_file = make_certificate(directory, since=datetime.now(UTC) + times.valid_from, lasts=times.valid_for)
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            is_page = self.path == "/" and bool(page)
            data = (page if is_page else body).encode()
            self.send_response(200 if is_page else status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def date_time_string(self, timestamp: float | None = None) -> str:
            at = datetime.now(UTC) + times.clock_ahead
            return super().date_time_string(at.timestamp() if timestamp is None else timestamp)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that does not trust the certificate hangs up

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, directory / "peer.key")
    server = Server((LOOPBACK, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield TlsPeer(port=server.server_port, cert_file=cert_file, asked=asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_certificate(directory: Path, *, since: datetime | None = None, lasts: timedelta = timedelta(days=30)) -> Path:
    """A certificate for loopback as PEM, valid since yesterday unless told otherwise; its key is beside it."""
    since = since or datetime.now(UTC) - timedelta(days=1)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + lasts)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file = directory / "peer.crt"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (directory / "peer.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file

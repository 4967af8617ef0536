"""Listeners, and what their handlers share."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import ssl
import sys
from typing import Any
from weakref import WeakSet

from .. import process
from ..failures import status_object
from ..logs import Fatal, log
from ..process import spawn
from ..shapes import Json


class TlsServer(http.server.ThreadingHTTPServer):
    """HTTPS with one thread per connection; the handshake happens in that thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler],
                 context: ssl.SSLContext) -> None:  # fmt: skip
        super().__init__(address, handler)
        self._context = context
        self._connections: WeakSet[socket.socket] = WeakSet()

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        wrapped = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._connections.add(wrapped)
        return wrapped, address

    def stop(self) -> None:
        """Stop listening and close all connections, as a process's exit does."""
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # SSLSocket's would send a close_notify

    def handle_error(self, request: Json, client_address: Json) -> None:
        error = sys.exc_info()[1]
        if process.LIFE.ended():
            return
        if isinstance(error, ssl.SSLError):
            log("info", f"http: TLS handshake error from {client_address[0]}:{client_address[1]}: {error.reason}")
        elif not isinstance(error, OSError):
            super().handle_error(request, client_address)


def listen(
    address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler], context: ssl.SSLContext
) -> None:
    """Serve from a thread of its own."""
    try:
        server = TlsServer(address, handler, context)
    except OSError as error:
        raise Fatal(f"listen tcp {address[0]}:{address[1]}: bind: {(error.strerror or str(error)).lower()}") from error
    spawn(server.serve_forever, process.LIFE.idle_s)
    process.LIFE.listening(server)


class Handler(http.server.BaseHTTPRequestHandler):
    """What the two listeners share."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 300
    warnings: tuple[str, ...] = ()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: k3s logs no requests."""

    def reply(self, code: int, data: bytes = b"", content_type: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for text in self.warnings:
            self.send_header("Warning", f"299 - {json.dumps(text)}")
        self.warnings = ()
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def warn(self, text: str) -> None:
        """Add a warning to the next answer, as a header that kubectl prints."""
        self.warnings = (*self.warnings, text)

    def reply_json(self, code: int, obj: Json, content_type: str = "application/json") -> None:
        self.reply(code, json.dumps(obj).encode() + b"\n", content_type)

    def asker(self) -> str:
        return f"{self.client_address[0]}:{self.client_address[1]}"

    def refuse(self, code: int, reason: str, message: str) -> None:
        """A Status object, as k3s's supervisor answers; logged as there (pkg/util/apierrors.go)."""
        log("error", f"Sending HTTP/1.1 {code} response to {self.asker()}: {message}")
        self.reply_json(code, status_object("Failure", code, reason, message))

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def peer_name(self) -> tuple[str, set[str]]:
        """Common name and organizations of the client's certificate; "" without one."""
        connection: Any = self.connection
        certificate = connection.getpeercert() or {}
        pairs = [pair for rdn in certificate.get("subject", ()) for pair in rdn]
        names = [value for key, value in pairs if key == "commonName"]
        return (names[0] if names else "", {value for key, value in pairs if key == "organizationName"})

"""An HTTP server of somebody hostile: it sends on to elsewhere, or answers without end."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Site:
    """An HTTP server of a hostile neighbour.

    Attributes:
        to: Where it sends everybody on to; empty: it answers with `piece`, again and again.
        status: Of a redirect.
        answers: Status of all else.
        length: The Content-Length that it claims.
        heard: The method, path and Authorization header of each request.
        sent: How many bytes of answers it got rid of.
    """

    url: str = ""
    to: str = ""
    status: int = 302
    answers: int = 200
    length: int | None = None
    piece: bytes = b'{"data": [], "items": []}'
    pieces: int = 1
    heard: list[tuple[str, str, str]] = field(default_factory=list)
    sent: int = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.heard.append((handler.command, handler.path, handler.headers.get("Authorization", "")))
        handler.close_connection = True
        if self.to:
            handler.send_response(self.status)
            handler.send_header("Location", f"{self.to}{handler.path}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(self.answers)
        handler.send_header("Content-Type", "application/json")
        if self.length is not None:
            handler.send_header("Content-Length", str(self.length))
        handler.end_headers()
        try:
            for _ in range(self.pieces):
                handler.wfile.write(self.piece)
                self.sent += len(self.piece)
        except OSError:
            return  # anyone who asked has had enough


@contextmanager
def serving(cert_file: Path | None) -> Iterator[Site]:
    """Serve, with a certificate (its key is beside it) or as plain HTTP."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def do_POST(self) -> None:
            site.answer(self)

        def do_PATCH(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if cert_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert_file, cert_file.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site.url = f"{'https' if cert_file else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

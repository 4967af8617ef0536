"""A real HTTP server with the layout of k3s's releases and channels, and failures on demand."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

VERSION = "v1.33.3+k3s1"
BINARY = b"#!/bin/sh\necho 'k3s version v1.33.3+k3s1 (236cbf25)'\n" + b"#" * 300_000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_artifacts(directory: Path, *, version: str = VERSION, images: tuple[str, ...] = ()) -> Path:
    """An artifact directory with scripts as binaries, for amd64 and arm64."""
    directory.mkdir()
    for arch, name in (("amd64", "k3s"), ("arm64", "k3s-arm64")):
        files = {name: BINARY.replace(VERSION.encode(), version.encode()) + arch.encode()}
        files.update({image: image.encode() for image in images if arch in image})
        for file_name, data in files.items():
            (directory / file_name).write_bytes(data)
            (directory / file_name).chmod(0o755)
        lines = [f"{sha256(data)}  {file_name}\n" for file_name, data in files.items()]
        (directory / f"sha256sum-{arch}.txt").write_text("".join(lines))
    return directory


class ReleaseServer:
    """Serves one release; `paths` are all requests so far.

    Attributes:
        files: By path; a test may change them.
        busy: How many requests are still answered with 503.
        cut: How many bodies still end early.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.busy = 0
        self.cut = 0
        release = f"/download/{quote(VERSION, safe='')}"
        self.files = {
            f"{release}/k3s": BINARY,
            f"{release}/sha256sum-amd64.txt": f"{sha256(BINARY)}  k3s\n{sha256(b'x')}  k3s-images.txt\n".encode(),
        }
        self.redirects = {"/channels/stable": f"/releases/tag/{quote(VERSION, safe='')}"}
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        """End the server; afterwards its port refuses. Safe to call twice."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, counter: str) -> bool:
        with self._lock:
            left: int = getattr(self, counter)
            if left:
                setattr(self, counter, left - 1)
            return left > 0

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.paths.append(handler.path)
        body = self.files.get(handler.path, b"")
        if self._take("busy"):
            handler.send_response(503)
            body = b""
        elif handler.path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", f"{self.url}{self.redirects[handler.path]}")
        else:
            handler.send_response(200 if handler.path in self.files else 404)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        cut = bool(body) and self._take("cut")
        handler.wfile.write(body[: len(body) // 2] if cut else body)
        handler.close_connection = True

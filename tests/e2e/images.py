"""An image that this machine serves; whatever it is, the lab's guests boot their own system."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

IMAGE = b"whatever is imported, the lab's guests boot its own system"
SHA512 = f"sha512:{hashlib.sha512(IMAGE).hexdigest()}"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served_image(directory: Path) -> Iterator[str]:
    """Its address, as long as it is served."""
    (directory / "debian.qcow2").write_bytes(IMAGE)
    with HTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(directory))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/debian.qcow2"
        finally:
            server.shutdown()
            thread.join()

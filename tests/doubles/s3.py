"""A small S3 server for tests: buckets of one process, addressed by path, that checks each request's signature.

It knows HEAD, PUT, GET and DELETE of an object, HEAD of a bucket, and its listing (version 2), and it can deny uploads.
Its answers to requests that are not signed well are S3's. The signature is checked from the request as it came, by a
code of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import http.server
import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w{64})"
)


@dataclass
class Buckets:
    """What a running server holds, and how to reach it."""

    endpoint: str
    access_key: str = "standin-access-key"
    secret_key: str = "standin/secret+key"
    region: str = "us-east-1"
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """By bucket and key."""
    refused: list[str] = field(default_factory=list)
    """Why requests were refused, in order."""
    denies: str = ""
    """Says so to all uploads, such as `Access Denied.`."""
    about: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """Of an object, by bucket and key: when it came, and what was noted of it."""


@contextmanager
def running(*buckets: str, address: str = "127.0.0.1", port: int = 0) -> Iterator[Buckets]:
    """A server with these empty buckets; it ends with the context."""
    server = http.server.ThreadingHTTPServer((address, port), _Handler)
    held = Buckets(f"{address}:{server.server_address[1]}", objects={name: {} for name in buckets})
    server.RequestHandlerClass = type("_Bound", (_Handler,), {"held": held})
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    held: Buckets

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        problem = signature_problem(
            self.held, self.command, url.path, url.query, dict(self.headers.items()), hashlib.sha256(body).hexdigest()
        )
        if problem:
            self.held.refused.append(problem)
            self._error(403, problem, "The request's signature or key is not good.")
            return
        bucket, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
        if bucket not in self.held.objects:
            self._error(404, "NoSuchBucket", "The specified bucket does not exist")
        elif key:
            self._object(bucket, key, body)
        else:
            self._bucket(bucket, dict(urllib.parse.parse_qsl(url.query)))

    do_HEAD = do_PUT = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def _object(self, bucket: str, key: str, body: bytes) -> None:
        objects = self.held.objects[bucket]
        if self.command == "PUT" and self.held.denies:
            self._error(403, "AccessDenied", self.held.denies)
        elif self.command == "PUT":
            headers = {name.lower(): value for name, value in self.headers.items()}
            noted = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
            came = datetime.now(UTC).isoformat(timespec="milliseconds")
            self.held.about[bucket, key] = {"last-modified": came.replace("+00:00", "Z"), **noted}
            objects[key] = body
            self._reply(200, b"")
        elif key not in objects:
            self._error(404, "NoSuchKey", "The specified key does not exist.")
        elif self.command == "DELETE":
            del objects[key]
            self._reply(204, b"")
        else:
            self._reply(200, objects[key], "application/octet-stream", self.held.about.get((bucket, key)))

    def _bucket(self, bucket: str, query: dict[str, str]) -> None:
        objects = self.held.objects[bucket]
        if self.command == "GET" and query.get("list-type") != "2":
            self._error(501, "NotImplemented", "Only the second version of the listing is there.")
            return
        rows = [
            f"<Contents><Key>{escape(key)}</Key><LastModified>{self._came(bucket, key)}</LastModified>"
            f"<Size>{len(data)}</Size></Contents>"
            for key, data in sorted(objects.items())
            if key.startswith(query.get("prefix", ""))
        ]
        text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(rows)}</ListBucketResult>"
        self._reply(200, text.encode())

    def _came(self, bucket: str, key: str) -> str:
        return self.held.about.get((bucket, key), {}).get("last-modified", "2026-01-01T00:00:00.000Z")

    def _error(self, code: int, name: str, message: str) -> None:
        self._reply(code, f"<Error><Code>{name}</Code><Message>{escape(message)}</Message></Error>".encode())

    def _reply(
        self, code: int, data: bytes, content_type: str = "application/xml", about: dict[str, str] | None = None
    ) -> None:
        self.send_response(code)
        for name, value in (about or {}).items():
            self.send_header(name, value)
        if code != 204:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD" and code != 204:
            self.wfile.write(data)


def signature_problem(held: Buckets, method: str, path: str, query: str, headers: dict[str, Any], digest: str) -> str:
    """S3's name for what is wrong with a request's signature; "" where it is good."""
    lower = {name.lower(): str(value).strip() for name, value in headers.items()}
    found = AUTHORIZATION.fullmatch(lower.get("authorization", ""))
    if not found:
        return "AccessDenied"
    access_key, day, region, names, signature = found.groups()
    if access_key != held.access_key:
        return "InvalidAccessKeyId"
    if region != held.region or lower.get("x-amz-date", "")[:8] != day:
        return "AuthorizationHeaderMalformed"
    if lower.get("x-amz-content-sha256") != digest:
        return "XAmzContentSHA256Mismatch"
    if not {"host", "x-amz-date"} <= set(names.split(";")):
        return "AccessDenied"
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    asked = "&".join("=".join(urllib.parse.quote(part, safe="-_.~") for part in pair) for pair in pairs)
    lines = [f"{name}:{lower.get(name, '')}\n" for name in names.split(";")]
    canonical = f"{method}\n{path}\n{asked}\n{''.join(lines)}\n{names}\n{digest}"
    scope = f"{day}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{lower['x-amz-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + held.secret_key.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    good = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return "" if hmac.compare_digest(good, signature) else "SignatureDoesNotMatch"

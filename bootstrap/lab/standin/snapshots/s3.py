"""Buckets."""

from __future__ import annotations

import hashlib
import hmac
import html
import http.client
import re
import ssl
import time
import urllib.parse

from ..settings.options import Options
from ..shapes import Obj

S3_SETTINGS = {"etcd-s3-endpoint": "endpoint", "etcd-s3-bucket": "bucket", "etcd-s3-folder": "folder",
               "etcd-s3-region": "region", "etcd-s3-access-key": "accessKey", "etcd-s3-secret-key": "secretKey",
               "etcd-s3-endpoint-ca": "endpointCA"}  # fmt: skip
S3_SWITCHES = {"etcd-s3-insecure": "insecure", "etcd-s3-skip-ssl-verify": "skipSSLVerify"}


def s3_settings(options: Options) -> Obj | None:
    """How to reach the bucket, under the names that k3s's own requests have; None where S3 is off."""
    if not options.on("etcd-s3"):
        return None
    found: Obj = {name: options.one(flag) for flag, name in S3_SETTINGS.items() if options.one(flag)}
    found |= {name: True for flag, name in S3_SWITCHES.items() if options.on(flag)}
    # Default retention in the bucket: that on disk (k3s: pkg/cli/server/server.go).
    retention = options.one("etcd-s3-retention", options.one("etcd-snapshot-retention", "5"))
    return {"endpoint": "s3.amazonaws.com", "region": "us-east-1", "retention": int(retention), **found}


class S3:
    """One bucket, addressed by path, with requests signed by AWS signature version 4."""

    def __init__(self, settings: Obj) -> None:
        self.settings, self.headers = settings, dict[str, str]()
        self.bucket, self.folder = settings.get("bucket", ""), settings.get("folder", "").strip("/")
        if not self.bucket:
            raise ValueError("failed to initialize S3 client: s3 bucket name was not set")
        status, _ = self._ask("HEAD", "")
        if status == 404:
            raise ValueError(f"failed to initialize S3 client: bucket {self.bucket} does not exist")
        if status >= 400:
            raise ValueError(f"failed to initialize S3 client: failed to test for existence of bucket {self.bucket}: "
                             f"{http.client.responses.get(status, status)}")  # fmt: skip

    def key(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def put(self, name: str, data: bytes, *, node: str, token_hash: str) -> None:
        """Upload a snapshot, with k3s's metadata."""
        about = {"x-amz-meta-k3s-node-name": node, "x-amz-meta-k3s-token-hash": token_hash}
        self._must("PUT", self.key(name), data, about=about)

    def get(self, name: str) -> bytes:
        return self._must("GET", self.key(name))

    def delete(self, name: str) -> bool:
        """Whether it was there."""
        there = self._ask("HEAD", self.key(name))[0] == 200
        if there:
            self._must("DELETE", self.key(name))
        return there

    def found(self, prefix: str | None = None) -> list[str]:
        """The keys with this prefix, oldest first; the default prefix is the folder's name, as in k3s."""
        prefix = self.folder if prefix is None else prefix
        raw = self._must("GET", "", query={"list-type": "2", "prefix": prefix}).decode()
        found = re.findall(r"<Contents>.*?<Key>(.*?)</Key>.*?<LastModified>(.*?)</LastModified>", raw, re.DOTALL)
        return [html.unescape(key) for key, _ in sorted(found, key=lambda each: each[1])]

    def about(self, key: str) -> dict[str, str]:
        """The headers of an object."""
        self._must("HEAD", key)
        return self.headers

    def _must(
        self,
        method: str,
        key: str,
        data: bytes = b"",
        query: dict[str, str] | None = None,
        about: dict[str, str] | None = None,
    ) -> bytes:
        status, raw = self._ask(method, key, data, query, about)
        if status >= 300:
            found = re.search(rb"<Message>(.*?)</Message>", raw)
            raise ValueError(found[1].decode() if found else f"S3 answered {status}")
        return raw

    def _ask(
        self,
        method: str,
        key: str,
        data: bytes = b"",
        query: dict[str, str] | None = None,
        about: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        path = "/" + urllib.parse.quote(f"{self.bucket}/{key}".rstrip("/"))
        text = "&".join(f"{quoted(k)}={quoted(v)}" for k, v in sorted((query or {}).items()))
        headers = sign_v4(self.settings, method, path, text, data) | (about or {})
        connection = self._connect()
        try:
            connection.request(method, f"{path}?{text}" if text else path, data, headers)
            answer = connection.getresponse()
            self.headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ValueError(f"{method} {path}: {error}") from error
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self.settings.get("insecure"):
            return http.client.HTTPConnection(self.settings["endpoint"], timeout=30)
        context = ssl.create_default_context(cafile=self.settings.get("endpointCA"))
        if self.settings.get("skipSSLVerify"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(self.settings["endpoint"], context=context, timeout=30)


def quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")


def sign_v4(settings: Obj, method: str, path: str, query: str, data: bytes) -> dict[str, str]:
    """The headers of a request: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html."""
    now, digest = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), hashlib.sha256(data).hexdigest()
    signed = {"host": settings["endpoint"], "x-amz-content-sha256": digest, "x-amz-date": now}
    names = ";".join(sorted(signed))
    canonical = [method, path, query, *(f"{name}:{signed[name]}" for name in sorted(signed)), "", names, digest]
    scope = f"{now[:8]}/{settings['region']}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256("\n".join(canonical).encode()).hexdigest()])
    key = ("AWS4" + settings.get("secretKey", "")).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"{settings.get('accessKey', '')}/{scope}"
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**signed, "Authorization": authorization}

"""A Kubernetes API as its wire shows it: requests, Status objects, warnings.

The tests that use it hold for the stand-in and for a real k3s. With K3S_KUBECONFIG=FILE in the environment they run
against that cluster instead, in namespaces of their own:

    K3S_KUBECONFIG=/etc/rancher/k3s/k3s.yaml .venv/bin/pytest tests/doubles/k3s/test_apply.py
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import tempfile
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Obj = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the API answered."""

    code: int
    body: Obj
    warnings: list[str] = field(default_factory=list)

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Reason and field of each cause."""
        return [(each.get("reason", ""), each.get("field", "")) for each in self.details.get("causes", [])]

    @property
    def details(self) -> Obj:
        found: Obj = self.body.get("details") or {}
        return found

    def managed(self) -> dict[tuple[str, str], Obj]:
        """The fields of each manager, by its name and operation."""
        entries = self.body["metadata"].get("managedFields", [])
        return {(each["manager"], each["operation"]): each["fieldsV1"] for each in entries}


class RawApi:
    """An API, asked as the user of a kubeconfig."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        self._url = urllib.parse.urlsplit(cluster["server"])
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=ca)
        with tempfile.NamedTemporaryFile() as pair:
            for name in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[name]) + b"\n")
            pair.flush()
            self._tls.load_cert_chain(pair.name)
        self.namespace = namespace
        self._connection: http.client.HTTPSConnection | None = None

    def ask(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json", agent: str = "tests/1.0",
        query: Mapping[str, str] | None = None, accept: str = "application/json",
    ) -> Answer:  # fmt: skip
        """One request. Paths that do not start with a slash are in the test's namespace: `apps/v1 deployments/web`."""
        where = self.path(path) + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind, "User-Agent": agent, "Accept": accept}
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._url.hostname or "", self._url.port, context=self._tls, timeout=30
            )
        self._connection.request(method, where, data, headers)
        with self._connection.getresponse() as response:
            raw = response.read()
            found = [re.sub(r'^299 - "(.*)"$', r"\1", text).replace('\\"', '"')
                     for text in response.headers.get_all("Warning") or []]  # fmt: skip
            return Answer(response.status, json.loads(raw) if raw[:1] == b"{" else {"text": raw.decode()}, found)

    def path(self, words: str) -> str:
        """The path of `GROUP/VERSION PLURAL[/NAME]` in this namespace."""
        if words.startswith("/"):
            return words
        group_version, plural = words.split(" ")
        start = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
        return f"{start}/namespaces/{self.namespace}/{plural}"

    def apply(self, path: str, body: object, manager: str = "one", **query: str) -> Answer:
        """Server-side apply."""
        return self.ask(
            "PATCH", path, body, kind="application/apply-patch+yaml", query={"fieldManager": manager, **query}
        )

    def post(self, path: str, body: object, **query: str) -> Answer:
        return self.ask("POST", path, body, query=query)

    def put(self, path: str, body: object, **query: str) -> Answer:
        return self.ask("PUT", path, body, query=query)

    def patch(self, path: str, body: object, kind: str = "merge", **query: str) -> Answer:
        """A merge, strategic-merge or json patch."""
        return self.ask("PATCH", path, body, kind=f"application/{kind}-patch+json", query=query)

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def delete(self, path: str) -> Answer:
        return self.ask("DELETE", path)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

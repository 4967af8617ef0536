"""Port 6443."""

from __future__ import annotations

import base64
import binascii
import json
import re
import select
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .. import process
from ..api.api import WARNINGS, Api
from ..api.kinds.openapi import openapi
from ..api.patching import APPLY
from ..api.reading.tables import table
from ..api.reading.watching import Watch
from ..api.resources import Target, split_path
from ..connections.pki import Pki
from ..failures import CORE_NOT_READY, ApiError, no_such_path, not_ready, status_object
from ..logs import log
from ..settings.machine import NODE_NAME
from ..shapes import Json, Obj, Reply
from ..versions import version_info
from .serving import Handler

SERVER_ONLY = (
    "/v1-k3s/server-bootstrap", "/v1-k3s/token", "/v1-k3s/cert/cacerts", "/v1-k3s/encrypt/status",
    "/v1-k3s/encrypt/config", "/db/info",
)  # fmt: skip
"""k3s: pkg/server/handlers/router.go, serverAuthed; /db/info is etcd's own."""
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
META = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
KUBELET_CERTIFICATES = ("/v1-k3s/client-kubelet.crt", "/v1-k3s/serving-kubelet.crt")


class Served(Protocol):
    """What the handler needs of a server."""

    api: Api
    pki: Pki
    pods: list[str]
    services: list[str]
    actions: Mapping[tuple[str, str], Callable[[bytes], Reply]]
    documents: Mapping[str, Callable[[], Any]]

    ready: bool

    @property
    def ca_pem(self) -> str: ...

    @property
    def passwords(self) -> Mapping[str, Iterable[str]]: ...

    def check_node_password(self, name: str, password: str) -> tuple[int, str] | None: ...

    def apiservers(self) -> list[str]: ...

    def problem(self) -> str: ...


class ApiHandler(Handler):
    """Port 6443: the supervisor's paths and the Kubernetes API."""

    served: Served

    def do_GET(self) -> None:  # noqa: N802 - the base class's name
        self._route()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def _route(self) -> None:
        state, path = self.served, urllib.parse.urlsplit(self.path).path
        if path == "/ping":
            self.reply(200, b"pong", "text/plain")
        elif path == "/cacerts":
            self.reply(200, state.ca_pem.encode(), "text/plain")
        elif path.startswith(("/v1-k3s/", "/db/")):
            self._supervisor(path)
        else:
            self._kubernetes(path)

    # the supervisor

    def _supervisor_user(self) -> str:
        """ "server", "node", "" without credentials, "wrong" for invalid ones."""
        name, groups = self.peer_name()
        if name:
            return "server" if "system:masters" in groups else "node" if "system:nodes" in groups else ""
        scheme, _, text = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return "wrong" if scheme else ""
        try:
            user, _, password = base64.b64decode(text).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "wrong"
        if user in ("server", "node") and password in self.served.passwords[user]:
            return user
        log("error", f"Failed to authenticate request from {self.asker()}: invalid username/password combination")
        return "wrong"

    def _supervisor(self, path: str) -> None:
        data, user = self.body(), self._supervisor_user()
        action = self.served.actions.get((self.command, path))
        if user == "wrong":
            self.refuse(401, "Unauthorized", "not authorized")
        elif not user or (user != "server" and (action or path in SERVER_ONLY)):
            self.refuse(403, "Forbidden", "forbidden")
        elif path in KUBELET_CERTIFICATES and self.command == "POST":
            self._kubelet_certificate(data)
        elif not action:
            self._document(path)
        elif self.served.ready:
            self.reply_json(*action(data))
        else:
            self.refuse(503, "ServiceUnavailable", CORE_NOT_READY)

    def _document(self, path: str) -> None:
        if path == "/v1-k3s/readyz" and not self.served.ready:
            self.refuse(503, "ServiceUnavailable", CORE_NOT_READY)
        elif path == "/v1-k3s/readyz":
            self.reply(200, b"ok", "text/plain")
        elif path in ("/v1-k3s/client-ca.crt", "/v1-k3s/server-ca.crt"):
            self.reply(200, self.served.pki.path(path.rpartition("/")[2]).read_bytes(), "text/plain")
        elif path in self.served.documents:
            self.reply_json(200, self.served.documents[path]())
        else:
            self.reply(404, b"404 page not found\n", "text/plain")

    def _kubelet_certificate(self, request: bytes) -> None:
        name = self.headers.get("k3s-Node-Name", "").lower()
        # The name becomes part of a certificate's subject.
        if not re.fullmatch(NODE_NAME, name) or not self.headers.get("k3s-Node-Password"):
            self.refuse(400, "BadRequest", "node name or password not set")
            return
        refusal = self.served.check_node_password(name, self.headers["k3s-Node-Password"])
        if refusal:
            self.refuse(refusal[0], "Forbidden" if refusal[0] == 403 else "ServiceUnavailable", refusal[1])
            return
        subject = f"/O=system:nodes/CN=system:node:{name}"
        pem = self.served.pki.sign(request, "client-ca", subject, "clientAuth")
        self.reply(200, pem, "text/plain")

    # Kubernetes

    def _kubernetes(self, path: str) -> None:
        data = self.body()
        name, groups = self.peer_name()
        refusal = process.LIFE.refusal()
        if refusal or not self.served.ready:
            self.reply_json(*(refusal or not_ready()))
        elif not groups & {"system:masters", "system:nodes"}:
            self.reply_json(401, status_object("Failure", 401, "Unauthorized", "Unauthorized"))
        elif path.partition("/")[2].partition("/")[0] in ("api", "apis"):
            self._objects(data, name if "system:masters" not in groups else "")
        else:
            self._about_itself(path)

    def _about_itself(self, path: str) -> None:
        if path in ("/readyz", "/livez", "/healthz"):
            problem = self.served.problem() if path == "/readyz" else ""
            self.reply(500 if problem else 200, (problem or "ok").encode(), "text/plain")
        elif path == "/version":
            self.reply_json(200, version_info())
        elif path.startswith("/openapi/v3"):
            self._openapi([part for part in path.split("/") if part])
        else:
            self.reply_json(404, no_such_path().status())

    def _openapi(self, parts: list[str]) -> None:
        try:
            self.reply_json(200, openapi(self.served.api.kinds, parts))
        except ApiError as error:
            self.reply_json(error.code, error.status())

    def _objects(self, data: bytes, node_user: str) -> None:
        parts, query = split_path(self.path)
        try:
            target, body = self._parse(parts, data, node_user)
            if target and self.command == "GET" and query.get("watch") in ("true", "1"):
                self._watch(target, query)
                return
        except ApiError as error:
            self.reply_json(error.code, error.status())
            return
        if target is None and "as=APIGroupDiscoveryList" in self._accepted() and len(parts) == 1:
            self.reply_json(200, self.served.api.kinds.aggregated(parts), AGGREGATED)
            return
        self._answer(target, query, body)

    def _answer(self, target: Target | None, query: dict[str, str], body: Json) -> None:
        name, groups = self.peer_name()
        by = None
        if "system:nodes" not in groups:
            by = {"agent": self.headers.get("User-Agent", ""), "user": name, "groups": sorted(groups)}
        code, answer = self.served.api.call(
            self.command, self.path, body, self.headers.get("Content-Type", "application/json"), by
        )
        for text in answer.pop(WARNINGS, ()):
            self.warn(text)
        if target and self.command == "GET" and code == 200:
            answer = self._as_asked(target, query, answer)
        self.reply_json(code, answer)

    def _as_asked(self, target: Target, query: dict[str, str], answer: Obj) -> Obj:
        """As a table or with nothing but metadata, if the client asks for that."""
        if self._wants_table():
            return table(target.resource.plural, answer.get("items", [answer]), query, answer["metadata"])
        if "as=PartialObjectMetadataList" in self._accepted() and "items" in answer:
            return {**META, "kind": "PartialObjectMetadataList", "metadata": answer["metadata"],
                    "items": [{**META, "metadata": item["metadata"]} for item in answer["items"]]}  # fmt: skip
        partial = "as=PartialObjectMetadata;" in self._accepted() + ";"
        return {**META, "metadata": answer["metadata"]} if partial and "items" not in answer else answer

    def _parse(self, parts: list[str], data: bytes, node_user: str) -> tuple[Target | None, Json]:
        """The target and the body of a request. Raises ApiError for requests that are refused."""
        target = self.served.api.kinds.parse(parts)
        body = self._json(data) if data else None
        if node_user and target and not node_may(node_user, self.command, target, body):
            path = urllib.parse.urlsplit(self.path).path
            raise ApiError(403, "Forbidden", f'User "{node_user}" cannot {self.command} {path}')
        return target, body

    def _json(self, data: bytes) -> Json:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        if kind.startswith("application/") and kind.endswith("+cbor"):
            return None  # its media type is refused below
        if kind in ("application/vnd.kubernetes.protobuf", "application/cbor"):
            text = "the body of the request was in an unknown format - accepted media types include: application/json"
            raise ApiError(415, "UnsupportedMediaType", text)
        try:
            return json.loads(data)
        except ValueError as error:
            if kind == APPLY:
                raise ApiError(
                    400, "BadRequest", f"error decoding YAML (the stand-in reads JSON only): {error}"
                ) from error
            text = f"the object provided is unrecognized (the stand-in reads JSON only): {error}"
            raise ApiError(400, "BadRequest", text) from error

    def _accepted(self) -> str:
        return str(self.headers.get("Accept", ""))

    def _wants_table(self) -> bool:
        return "as=Table" in self._accepted()

    def _watch(self, target: Target, query: dict[str, str]) -> None:
        if target.name:  # a watch of one object is a list watch with its name as the field selector
            query = {**query, "fieldSelector": f"metadata.name={target.name}"}
        deadline = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for event in Watch(self.served.api.store, target, query).events(deadline):
            if event is None:
                if select.select([self.connection], [], [], 0)[0]:
                    break  # the client has disconnected
                continue
            if self._wants_table() and event["type"] not in ("ERROR", "BOOKMARK"):
                obj = event["object"]
                event = {**event, "object": table(target.resource.plural, [obj], query, {})}
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        self.close_connection = True


def node_may(user: str, method: str, target: Target, body: Json) -> bool:
    """Whether a kubelet may do this: read all but Secrets, write its own objects."""
    name = user.removeprefix("system:node:")
    plural = target.resource.plural
    if method == "GET":
        return plural != "secrets"
    if plural in ("nodes", "leases"):
        own = target.name or (body or {}).get("metadata", {}).get("name")
        return own == name and method != "DELETE"
    return plural == "events" or (plural == "pods" and target.sub == "status")

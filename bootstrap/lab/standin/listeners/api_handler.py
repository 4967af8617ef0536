"""Port 6443."""

from __future__ import annotations

import json
import select
import time
import urllib.parse

from .. import process
from ..api.access.authorizing import AUTHENTICATED, MASTERS, VERBS, Attributes, User
from ..api.access.reviews import REVIEWS, review
from ..api.api import WARNINGS
from ..api.kinds.openapi import openapi
from ..api.patching import APPLY
from ..api.reading.tables import table
from ..api.reading.watching import Watch
from ..api.resources import Target, split_path
from ..failures import ApiError, no_such_path, not_ready, status_object
from ..settings.yaml_documents import read_documents
from ..shapes import Json, Obj
from ..versions import version_info
from .supervisor import SupervisorHandler

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
YAML = (APPLY, "application/yaml")
NODES = "system:nodes"
META = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}


class ApiHandler(SupervisorHandler):
    """Port 6443: the supervisor's paths and the Kubernetes API."""

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

    def _kubernetes(self, path: str) -> None:
        data = self.body()
        refusal = process.LIFE.refusal()
        user = self._user()
        if refusal or not self.served.ready:
            self.reply_json(*(refusal or not_ready()))
        elif user is None:
            self.reply_json(401, status_object("Failure", 401, "Unauthorized", "Unauthorized"))
        else:
            try:
                self._answer_to(user, path, data)
            except ApiError as error:
                self.reply_json(error.code, error.status())

    def _user(self) -> User | None:
        """Who asks, by the client's certificate; one who may do everything may also ask for somebody else."""
        name, groups = self.peer_name()
        if not name:
            return None
        other = self.headers.get("Impersonate-User")
        if other and MASTERS in groups:
            return User(other, (*self.headers.get_all("Impersonate-Group", []), AUTHENTICATED))
        return User(name, (*sorted(groups), AUTHENTICATED))

    def _answer_to(self, user: User, path: str, data: bytes) -> None:
        parts = [part for part in path.split("/") if part]
        if (parts[0:1] == ["apis"] and len(parts) > 3) or (parts[0:1] == ["api"] and len(parts) > 2):
            self._objects(user, data)
            return
        if NODES not in user.groups:
            verb = VERBS.get(self.command, "")
            self.served.authorizer.require(user, Attributes(verb, path=path))
        if parts and parts[0] in ("api", "apis"):
            self._discovery(parts)
        else:
            self._about_itself(path)

    def _about_itself(self, path: str) -> None:
        if path in ("/readyz", "/livez", "/healthz"):
            problem = self.served.problem() if path == "/readyz" else ""
            self.reply(500 if problem else 200, (problem or "ok").encode(), "text/plain")
        elif path == "/version":
            self.reply_json(200, version_info())
        elif path.startswith("/openapi/v3"):
            self.reply_json(200, openapi(self.served.api.kinds, [part for part in path.split("/") if part]))
        else:
            self.reply_json(404, no_such_path().status())

    def _discovery(self, parts: list[str]) -> None:
        kinds = self.served.api.kinds
        if "as=APIGroupDiscoveryList" in self._accepted() and len(parts) == 1:
            self.reply_json(200, kinds.aggregated(parts), AGGREGATED)
        else:
            self.reply_json(200, kinds.discovery(parts))

    def _objects(self, user: User, data: bytes) -> None:
        parts, query = split_path(self.path)
        review_of = parts[-1] if parts[-1] in REVIEWS and parts[1].startswith("auth") else ""
        if review_of:
            self._review(review_of, user, data)
            return
        target = self.served.api.kinds.parse(parts)
        body = self._json(data) if data else None
        if target is None:
            self._discovery(parts)
            return
        self._authorize(user, target, query, body)
        if self.command == "GET" and query.get("watch") in ("true", "1"):
            self._watch(target, query)
        else:
            self._answer(user, target, query, body)

    def _review(self, plural: str, user: User, data: bytes) -> None:
        if self.command != "POST":
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        group = "authentication.k8s.io" if plural == "selfsubjectreviews" else "authorization.k8s.io"
        self.served.authorizer.require(user, Attributes("create", group, plural))
        self.reply_json(201, review(plural, user, self._json(data) if data else None, self.served.authorizer))

    def _authorize(self, user: User, target: Target, query: dict[str, str], body: Json) -> None:
        """Raises ApiError for what the user may not do."""
        if MASTERS in user.groups:
            return
        if NODES in user.groups:
            if not node_may(user.name, self.command, target, body):
                path = urllib.parse.urlsplit(self.path).path
                raise ApiError(403, "Forbidden", f'User "{user.name}" cannot {self.command} {path}')
            return
        wanted = attributes_of(self.command, target, query)
        self.served.authorizer.require(user, wanted)
        if wanted.verb == "patch" and self._kind() == APPLY and not self.served.api.has(target):
            self.served.authorizer.require(user, wanted._replace(verb="create"))

    def _kind(self) -> str:
        return str(self.headers.get("Content-Type", "")).partition(";")[0].strip()

    def _answer(self, user: User, target: Target, query: dict[str, str], body: Json) -> None:
        by = None
        if NODES not in user.groups:
            by = {"agent": self.headers.get("User-Agent", ""), "user": user.name, "groups": list(user.groups)}
        code, answer = self.served.api.call(
            self.command, self.path, body, self.headers.get("Content-Type", "application/json"), by
        )
        for text in answer.pop(WARNINGS, ()):
            self.warn(text)
        if self.command == "GET" and code == 200:
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

    def _json(self, data: bytes) -> Json:
        kind = self._kind()
        if kind.startswith("application/") and kind.endswith("+cbor"):
            return None  # its media type is refused below
        if kind in ("application/vnd.kubernetes.protobuf", "application/cbor"):
            text = "the body of the request was in an unknown format - accepted media types include: application/json"
            raise ApiError(415, "UnsupportedMediaType", text)
        try:
            return json.loads(data)
        except ValueError as error:
            if kind in YAML:
                return self._yaml(data)
            text = f"the object provided is unrecognized (the stand-in reads JSON only): {error}"
            raise ApiError(400, "BadRequest", text) from error

    def _yaml(self, data: bytes) -> Json:
        try:
            documents = read_documents(data.decode())
        except ValueError as error:
            raise ApiError(400, "BadRequest", f"error decoding YAML: {error}") from error
        return documents[0] if documents else None

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


def attributes_of(method: str, target: Target, query: dict[str, str]) -> Attributes:
    """A request for objects as roles see it."""
    verb = VERBS.get(method, "")
    if verb == "get" and query.get("watch") in ("true", "1"):
        verb = "watch"
    elif verb == "get" and not target.name:
        verb = "list"
    elif verb == "delete" and not target.name:
        verb = "deletecollection"
    resource = target.resource.plural + (f"/{target.sub}" if target.sub else "")
    return Attributes(verb, target.resource.group, resource, target.ns, target.name)


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

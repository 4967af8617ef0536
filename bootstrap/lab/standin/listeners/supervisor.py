"""The supervisor's part of port 6443."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ..api.access.authorizing import Authorizer
from ..api.api import Api
from ..connections.pki import Pki
from ..failures import CORE_NOT_READY
from ..logs import log
from ..settings.machine import NODE_NAME
from ..shapes import Reply
from .serving import Handler

SERVER_ONLY = (
    "/v1-k3s/server-bootstrap", "/v1-k3s/token", "/v1-k3s/cert/cacerts", "/v1-k3s/encrypt/status",
    "/v1-k3s/encrypt/config", "/db/info",
)  # fmt: skip
"""k3s: pkg/server/handlers/router.go, serverAuthed; /db/info is etcd's own."""
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
    def flannel_backend(self) -> str: ...

    @property
    def passwords(self) -> Mapping[str, Iterable[str]]: ...

    def check_node_password(self, name: str, password: str) -> tuple[int, str] | None: ...

    def apiservers(self) -> list[str]: ...

    def problem(self) -> str: ...

    @property
    def authorizer(self) -> Authorizer: ...


class SupervisorHandler(Handler):
    """What k3s's supervisor answers: certificates, tokens, settings of agents."""

    served: Served

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

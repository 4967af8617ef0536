"""The passwords of nodes, in their Secrets."""

from __future__ import annotations

import base64
import hmac
import secrets

from .api import Api
from .telling import log
from .tokens import node_password_hash

REJECTED = (
    "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server "
    "node-passwd entry, try enabling a unique node name with the --with-node-id flag"
)


def check_node_password(api: Api, name: str, password: str) -> tuple[int, str] | None:
    """Remember a new node's password, hold a known one to it. None is a yes."""
    path = "/api/v1/namespaces/kube-system/secrets"
    code, old = api.call("GET", f"{path}/{name}.node-password.k3s")
    if code == 404:
        salt = secrets.token_hex(8)
        body = {"metadata": {"name": f"{name}.node-password.k3s"}, "immutable": True,
                "stringData": {"hash": node_password_hash(salt, password)}}  # fmt: skip
        code, old = api.call("POST", path, body)
    if code >= 400:
        return 503, str(old.get("message", ""))
    stored = base64.b64decode(old["data"]["hash"]).decode()
    if hmac.compare_digest(stored, node_password_hash(stored.split(":")[1], password)):
        return None
    log("error", f"Node password rejected for {name}")
    return 403, REJECTED

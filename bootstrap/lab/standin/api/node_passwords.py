"""The passwords of nodes, in their Secrets."""

from __future__ import annotations

import base64
import hmac
import secrets

from ..connections.tokens import node_password_hash
from ..logs import log
from .api import Api
from .deleting import owned_by

REJECTED = (
    "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server "
    "node-passwd entry, try enabling a unique node name with the --with-node-id flag"
)


class Owners:
    """Sets the owner of the Secrets, once the Node has registered. An agent that fetched its certificates but never
    registered leaves a Secret that deleting the Node does not remove (k3s v1.36.3, observed).
    """

    def __init__(self, api: Api) -> None:
        self._api, self._looked = api, (-1, -1)

    def look(self) -> None:
        """Set the owners that are missing."""
        store = self._api.store
        changed = (store.touched.get("secrets", 0), store.touched.get("nodes", 0))
        if changed == self._looked:
            return
        self._looked = changed
        for node in store.all("nodes"):
            name = node["metadata"]["name"]
            secret = store.get("secrets", "kube-system", f"{name}.node-password.k3s")
            if secret is not None and not owned_by(secret, node):
                owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
                path = f"/api/v1/namespaces/kube-system/secrets/{name}.node-password.k3s"
                patch = {"metadata": {"ownerReferences": [owner]}}
                self._api.call("PATCH", path, patch, "application/merge-patch+json")


def check_node_password(api: Api, name: str, password: str) -> tuple[int, str] | None:
    """Store a new node's password, or compare it with the stored one. None: accepted."""
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

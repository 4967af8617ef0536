"""Namespaces that are being deleted: their contents go first."""

from __future__ import annotations

from ..api.api import Api
from ..api.objects import is_terminating
from ..shapes import Edit, Obj


class Namespaces:
    """Empties and removes namespaces that are being deleted."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._seen = -1
        self._busy = False

    def look(self) -> None:
        """Take the next step of each deletion."""
        store = self._api.store
        revision = store.touched.get("namespaces", 0)
        if revision == self._seen and not self._busy:
            return
        self._seen, self._busy = revision, False
        with self._api.cluster.lock:
            edits: list[Edit] = []
            for namespace in store.all("namespaces"):
                if is_terminating(namespace):
                    self._busy = True
                    edits += self._step(namespace)
            if edits:
                self._api.cluster.commit(edits)

    def _step(self, namespace: Obj) -> list[Edit]:
        """The deletion of what is in it, or of the namespace itself once it is empty."""
        name = namespace["metadata"]["name"]
        held = {key: obj for key, obj in list(self._api.store.objects.items()) if key[1] == name}
        if not held:
            return [("namespaces", "", name, None)] if not namespace["metadata"].get("finalizers") else []
        edits: list[Edit] = []
        for (plural, ns, own), obj in held.items():
            if is_terminating(obj):
                continue
            resource = self._api.kinds.stored_as(plural)
            edits += self._api.deleting.delete(resource, obj) if resource else [(plural, ns, own, None)]
        return edits

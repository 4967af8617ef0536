"""Creating and updating objects."""

from __future__ import annotations

import copy
import re
import secrets
import uuid

from ..datastore.store import Store
from ..failures import ApiError
from ..logs import stamp
from ..shapes import Edit, Obj
from .admission import Admission
from .deleting import Deleting
from .objects import is_terminating
from .resources import HAS_GENERATION, HAS_STATUS, RESOURCES, Resource, not_found, whole

FIXED_FIELDS = ("uid", "creationTimestamp", "namespace", "name", "deletionTimestamp", "deletionGracePeriodSeconds",
                "generation")  # fmt: skip


class Changing:
    """Creates and updates: each returns the answer and the edits to commit."""

    def __init__(self, store: Store, admission: Admission, deleting: Deleting) -> None:
        self.store, self.admission, self._deleting = store, admission, deleting

    def create(self, resource: Resource, ns: str, body: Obj) -> tuple[int, Obj, list[Edit]]:
        obj = copy.deepcopy(body)
        meta = obj.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        name = meta.get("name", "")
        if not re.fullmatch(r"[a-z0-9:]([-a-z0-9.:]*[a-z0-9:])?", name):
            raise ApiError(422, "Invalid", f'{resource.kind} "{name}" is invalid: metadata.name')
        if resource.namespaced:
            ns = ns or meta.get("namespace") or "default"
            meta["namespace"] = ns
            if not self.store.get("namespaces", "", ns):
                raise not_found(RESOURCES["namespaces"], ns)
        if self.store.get(resource.plural, ns, name):
            raise ApiError(409, "AlreadyExists", f'{resource.plural} "{name}" already exists')
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        if resource.plural in HAS_GENERATION:
            meta["generation"] = 1
        self.admission.admit(resource.plural, obj)
        return 201, *self._keep(resource, obj)

    def _keep(self, resource: Resource, obj: Obj) -> tuple[Obj, list[Edit]]:
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
        key = (resource.plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        obj["metadata"]["resourceVersion"] = str(self.store.rev + 1)
        return whole(resource, obj), [(*key, obj)]

    def update(self, resource: Resource, old: Obj, body: Obj, sub: str) -> tuple[int, Obj, list[Edit]]:
        refuse_stale(resource, old, body)
        new = merge_kept_parts(resource, old, body, sub)
        refuse_immutable(resource, old, new)
        before, meta = old["metadata"], new["metadata"]
        if resource.plural in HAS_GENERATION:
            meta["generation"] = before.get("generation", 1) + (new.get("spec") != old.get("spec"))
        self.admission.admit(resource.plural, new)
        meta["resourceVersion"] = before["resourceVersion"]
        if {key: value for key, value in new.items() if key not in ("kind", "apiVersion")} == old:
            return 200, whole(resource, old), []
        answer, edits = self._keep(resource, new)
        if is_terminating(new) and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds"):
            edits = self._deleting.remove(resource, new)
        return 200, answer, edits


def refuse_stale(resource: Resource, old: Obj, body: Obj) -> None:
    """Raises ApiError when the update is based on an old version."""
    meta = old["metadata"]
    if (body.get("metadata") or {}).get("resourceVersion") not in (None, "", meta["resourceVersion"]):
        text = "the object has been modified; please apply your changes to the latest version and try again"
        failed = f'Operation cannot be fulfilled on {resource.plural} "{meta["name"]}"'
        raise ApiError(409, "Conflict", f"{failed}: {text}")


def refuse_immutable(resource: Resource, old: Obj, new: Obj) -> None:
    """Raises ApiError when the data of an immutable object would change."""
    if old.get("immutable") and (new.get("data") != old.get("data") or not new.get("immutable")):
        raise ApiError(422, "Invalid", f'{resource.kind} "{old["metadata"]["name"]}" is invalid: field is immutable')


def merge_kept_parts(resource: Resource, old: Obj, body: Obj, sub: str) -> Obj:
    """The object after an update: fixed fields stay, and only the subresource changes the status."""
    new = copy.deepcopy(body)
    meta = {name: value for name, value in (new.get("metadata") or {}).items() if name not in FIXED_FIELDS}
    meta |= {name: old["metadata"][name] for name in FIXED_FIELDS if name in old["metadata"]}
    if sub == "status":
        return {**old, "status": new.get("status", {}), "metadata": meta}
    if resource.plural in HAS_STATUS:
        new["status"] = copy.deepcopy(old.get("status", {}))
    return {**new, "metadata": meta}

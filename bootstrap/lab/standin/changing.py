"""Creating and updating objects."""

from __future__ import annotations

import copy
import re
import secrets
import uuid

from .admission import Admission
from .deleting import Deleting
from .failures import ApiError
from .resources import HAS_GENERATION, HAS_STATUS, RESOURCES, Resource, not_found, whole
from .shapes import Edit, Obj
from .store import Store
from .telling import stamp

FIXED_FIELDS = ("uid", "creationTimestamp", "namespace", "name", "deletionTimestamp", "deletionGracePeriodSeconds",
                "generation")  # fmt: skip


class Changing:
    """What a create or an update makes of an object: the answer, and the edits to agree on."""

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
        new = copy.deepcopy(body)
        before, meta = old["metadata"], new.setdefault("metadata", {})
        if meta.get("resourceVersion") not in (None, "", before["resourceVersion"]):
            text = "the object has been modified; please apply your changes to the latest version and try again"
            raise ApiError(
                409, "Conflict", f'Operation cannot be fulfilled on {resource.plural} "{before["name"]}": {text}'
            )
        for fixed in FIXED_FIELDS:
            meta.pop(fixed, None)
            if fixed in before:
                meta[fixed] = before[fixed]
        if sub == "status":
            new = {**old, "status": new.get("status", {}), "metadata": meta}
        elif resource.plural in HAS_STATUS:
            new["status"] = copy.deepcopy(old.get("status", {}))
        if old.get("immutable") and (new.get("data") != old.get("data") or not new.get("immutable")):
            raise ApiError(422, "Invalid", f'{resource.kind} "{before["name"]}" is invalid: field is immutable')
        if resource.plural in HAS_GENERATION:
            meta["generation"] = before.get("generation", 1) + (new.get("spec") != old.get("spec"))
        self.admission.admit(resource.plural, new)
        meta["resourceVersion"] = before["resourceVersion"]
        if {k: v for k, v in new.items() if k not in ("kind", "apiVersion")} == old:
            return 200, whole(resource, old), []
        answer, edits = self._keep(resource, new)
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds"):
            edits = self._deleting.remove(resource, new)
        return 200, answer, edits

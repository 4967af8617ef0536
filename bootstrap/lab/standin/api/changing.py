"""Creating and updating objects."""

from __future__ import annotations

import copy
import secrets
import uuid

from ..datastore.store import Store
from ..failures import ApiError
from ..logs import stamp
from ..shapes import Edit, Json, Obj
from .access.requesting import approve, fill, refuse_masters
from .admission import Admission
from .allocating import keep_allocated
from .apply.applying import Tracked
from .checks.checks import check
from .deleting import Deleting
from .kinds.custom import defaulted
from .kinds.kinds import Kinds
from .objects import is_terminating
from .requests import Asked
from .resources import RESOURCES, Resource, not_found, whole
from .types.decoding import decode, decode_patched, json_name
from .types.defaults import complete
from .types.filling import filled, without_nulls

FIXED_FIELDS = ("uid", "creationTimestamp", "namespace", "name", "deletionTimestamp", "deletionGracePeriodSeconds",
                "generation")  # fmt: skip
REQUESTS = "certificatesigningrequests"
Changed = tuple[int, Obj, list[Edit]]


class Changing:
    """Creates and updates: each returns the answer and the edits to commit.

    Writes from outside (`by`) are decoded, completed with defaults, checked, and their fields get managers. The
    stand-in's own writes are kept as they are.
    """

    def __init__(self, store: Store, admission: Admission, deleting: Deleting, kinds: Kinds) -> None:
        self.store, self.admission, self._deleting, self.kinds = store, admission, deleting, kinds

    def create(self, resource: Resource, ns: str, body: Obj, by: Asked | None = None) -> Changed:
        obj = copy.deepcopy(body)
        if by is not None:
            refuse_no_object(resource, obj)
            refuse_other_kind(resource, obj)
            obj = self._decoded(resource, obj, by)
            if (obj.get("metadata") or {}).get("resourceVersion"):
                raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        return self._insert(resource, ns, obj, by)

    def apply(self, resource: Resource, ns: str, name: str, old: Obj | None, op: Obj, by: Asked) -> Changed:
        """Server-side apply, to a missing object too."""
        config = copy.deepcopy(op["body"])
        if not isinstance(config, dict):
            text = f"json: cannot unmarshal {json_name(config)} into Go value of type map[string]interface {{}}"
            raise ApiError(
                400, "BadRequest", f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {text}"
            )
        refuse_other_version(resource, config)
        tracked = self.tracked(resource, op["sub"])
        live = whole(resource, old) if old is not None else None
        new = tracked.apply(live, config, by.manager, force=by.force)
        if new.get("metadata", {}).get("name") != name:
            raise other_name(new.get("metadata", {}).get("name", ""), name)
        if old is not None:
            return self.update(resource, old, new, op["sub"], by, applied=True)
        if config["metadata"].get("uid"):
            given = config["metadata"]["uid"]
            text = f"uid mismatch: the provided object specified uid {given}, and no existing object was found"
            raise conflict(resource, name, text)
        return self._insert(resource, ns, new, by, applied=True)

    def tracked(self, resource: Resource, sub: str = "") -> Tracked:
        """Its kind as managers of fields know it."""
        kind = self.kinds.type_of(resource)
        if kind is None:
            raise ApiError(500, "", f"no corresponding type for {resource.group_version}, Kind={resource.kind}")
        reset: set[tuple[str, ...]] = {("f:status",)} if resource.status and sub in ("", "scale") else set()
        if sub == "status":
            reset = {("f:spec",), ("f:metadata",) if resource.by_schema else ("f:metadata", "f:labels")}
        named = f"{resource.group}/{resource.version}, Kind={resource.kind}"
        return Tracked(kind, resource.group_version, named, frozenset(reset), sub)

    def _decoded(self, resource: Resource, body: Obj, by: Asked) -> Obj:
        kind = self.kinds.type_of(resource)
        if kind is None:
            return body
        obj, warnings = decode(kind, resource, body, by.directive)
        by.warnings += warnings
        return obj

    def _insert(self, resource: Resource, ns: str, obj: Obj, by: Asked | None, *, applied: bool = False) -> Changed:
        meta = obj.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        ns = self._place(resource, ns, meta, outside=by is not None)
        name = meta.get("name", "")
        if by is not None:
            self._complete(resource, obj, fresh=True)
            meta = obj["metadata"]
        if resource.namespaced:
            self._refuse_place(resource, ns, name)
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        if resource.counts:
            meta["generation"] = 1
        if by is not None:
            if resource.key == REQUESTS:
                fill(obj, by.user, by.groups)
            if not applied and self.kinds.type_of(resource):
                self.tracked(resource).update(None, {**whole(resource, obj), "metadata": meta}, by.manager)
            check(resource, obj, None, self.kinds)
            if resource.key == REQUESTS:
                refuse_masters(obj)
        if self.store.get(resource.key, ns, name):
            raise exists(resource, name)
        self.admission.admit(resource.key, obj)
        return 201, *self._keep(resource, obj)

    def _place(self, resource: Resource, ns: str, meta: Obj, *, outside: bool) -> str:
        """The namespace of a new object."""
        if not resource.namespaced:
            return ""
        given = meta.get("namespace") or ""
        if outside and ns and given and given != ns:
            text = "the namespace of the provided object does not match the namespace sent on the request"
            raise ApiError(400, "BadRequest", text)
        ns = ns or given or "default"
        meta["namespace"] = ns
        return ns

    def _refuse_place(self, resource: Resource, ns: str, name: str) -> None:
        """Raises ApiError for a namespace that is missing or being deleted (the plugin NamespaceLifecycle)."""
        namespace = self.store.get("namespaces", "", ns)
        if namespace is None:
            raise not_found(RESOURCES["namespaces"], ns)
        if is_terminating(namespace):
            text = f"unable to create new content in namespace {ns} because it is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {ns} is being terminated",
                     "field": "metadata.namespace"}  # fmt: skip
            details = {**details_of(resource, name), "causes": [cause]}
            raise ApiError(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {text}', details)

    def _complete(self, resource: Resource, obj: Obj, *, fresh: bool = False) -> None:
        """Fill in defaults. A new object has no status of its own."""
        if fresh and resource.status:
            obj.pop("status", None)
        kind, custom = self.kinds.type_of(resource), self.kinds.custom(resource)
        if custom is not None:
            found = defaulted(custom.schema, obj)
            obj.clear()
            obj.update(found)
        if custom is None and kind is not None:
            plain = without_nulls(kind, obj)
            complete(resource.key, plain)
            obj.clear()
            obj.update(filled(kind, plain))

    def _keep(self, resource: Resource, obj: Obj) -> tuple[Obj, list[Edit]]:
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
        key = (resource.key, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        obj["metadata"]["resourceVersion"] = str(self.store.rev + 1)
        return whole(resource, obj), [(*key, obj)]

    def update(self, resource: Resource, old: Obj, body: Obj, sub: str, by: Asked | None = None, *,
               applied: bool = False) -> Changed:  # fmt: skip
        """An update by PUT, by a patch or by an apply, whose result is `body`."""
        refuse_stale(resource, old, body)
        if by is not None:
            self._complete(resource, body)
            if resource.key == "services":
                keep_allocated(old, body)
        new = merge_kept_parts(resource, old, body, sub, own=by is None)
        refuse_immutable(resource, old, new)
        before, meta = old["metadata"], new["metadata"]
        if resource.counts:
            meta["generation"] = before.get("generation", 1) + (new.get("spec") != old.get("spec"))
        if by is not None:
            self._track(resource, old, new, sub, by, applied=applied)
            check(resource, new, old, self.kinds, sub)
        self.admission.admit(resource.key, new)
        meta["resourceVersion"] = before["resourceVersion"]
        if same_but_times(resource, new, old):
            return 200, whole(resource, old), []
        answer, edits = self._keep(resource, new)
        if is_terminating(new) and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds"):
            edits = self._deleting.remove(resource, new)
        return 200, answer, edits

    def _track(self, resource: Resource, old: Obj, new: Obj, sub: str, by: Asked, *, applied: bool) -> None:
        if not applied and self.kinds.type_of(resource):
            self.tracked(resource, sub).update(whole(resource, old), new, by.manager)

    def replacement(self, resource: Resource, old: Obj, op: Obj, by: Asked | None) -> Obj:
        """The body of a PUT, decoded."""
        body: Obj = op["body"] or {}
        if by is None:
            return body
        refuse_no_object(resource, body)
        refuse_other_kind(resource, body)
        name = (body.get("metadata") or {}).get("name", "")
        if name != old["metadata"]["name"]:
            raise other_name(name, old["metadata"]["name"])
        return self._decoded(resource, copy.deepcopy(body), by)

    def patched(self, resource: Resource, result: Obj, by: Asked | None) -> Obj:
        """The result of a patch, decoded."""
        kind = self.kinds.type_of(resource) if by is not None else None
        if by is None or kind is None:
            return result
        obj, warnings = decode_patched(kind, resource, result, by.directive)
        by.warnings += warnings
        return obj


def same_but_times(resource: Resource, new: Obj, old: Obj) -> bool:
    """Whether nothing has changed but the times at which managers did."""
    plain = {key: value for key, value in new.items() if key not in ("kind", "apiVersion")}
    return plain == old or without_times(plain) == without_times(old)


def without_times(obj: Obj) -> Obj:
    meta = obj["metadata"]
    entries = [
        {key: value for key, value in entry.items() if key != "time"} for entry in meta.get("managedFields") or []
    ]
    return {**obj, "metadata": {**meta, "managedFields": entries}}


def exists(resource: Resource, name: str) -> ApiError:
    text = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", text, details_of(resource, name))


def details_of(resource: Resource, name: str) -> Obj:
    return {"name": name, **({"group": resource.group} if resource.group else {}), "kind": resource.plural}


def check_preconditions(resource: Resource, old: Obj, op: Obj) -> None:
    """What a deletion asks for: the object, and no other of its name (apiserver, storage/interfaces.go)."""
    body = op["body"] if isinstance(op["body"], dict) else {}
    for key, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        wanted, found = (body.get("preconditions") or {}).get(key), old["metadata"].get(key)
        if wanted is not None and wanted != found:
            text = f"Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {found}"
            raise conflict(resource, op["name"], text)


def conflict(resource: Resource, name: str, text: str) -> ApiError:
    failed = f'Operation cannot be fulfilled on {resource.qualified} "{name}"'
    return ApiError(409, "Conflict", f"{failed}: {text}", details_of(resource, name))


def other_name(given: str, name: str) -> ApiError:
    text = f"the name of the object ({given}) does not match the name on the URL ({name})"
    if not given:
        text = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
    return ApiError(400, "BadRequest", text)


def refuse_no_object(resource: Resource, body: Json) -> None:
    """Raises ApiError for a body that is no object."""
    if not isinstance(body, dict):
        wanted = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        text = f"json: cannot unmarshal {json_name(body)} into Go value of type {resource.version}.{resource.kind}"
        raise ApiError(400, "BadRequest", f"{wanted}: {text}")


def refuse_other_kind(resource: Resource, body: Obj) -> None:
    """Raises ApiError when a body is of another kind than its path."""
    version, kind = body.get("apiVersion") or resource.group_version, body.get("kind") or resource.kind
    if version != resource.group_version:
        wanted = resource.group_version
        text = f"the API version in the data ({version}) does not match the expected API version ({wanted})"
        raise ApiError(400, "BadRequest", text)
    if kind != resource.kind:
        short = version.rpartition("/")[2]
        about = f'{kind} in version "{short}" cannot be handled as a {resource.kind}'
        text = f"{about}: converting ({short}.{kind}) to ({short}.{resource.kind}): unknown conversion"
        raise ApiError(400, "BadRequest", text)


def refuse_other_version(resource: Resource, config: Obj) -> None:
    """Raises ApiError when an applied configuration is of another kind or version than its path."""
    version, kind = config.get("apiVersion", ""), config.get("kind", "")
    if (version, kind) != (resource.group_version, resource.kind):
        named = version if "/" in version else f"/{version}"
        raise ApiError(400, "BadRequest", f"invalid object type: {named}, Kind={kind}")


def refuse_stale(resource: Resource, old: Obj, body: Obj) -> None:
    """Raises ApiError when the update is based on an old version."""
    meta = old["metadata"]
    if (body.get("metadata") or {}).get("resourceVersion") not in (None, "", meta["resourceVersion"]):
        text = "the object has been modified; please apply your changes to the latest version and try again"
        raise conflict(resource, meta["name"], text)


def refuse_immutable(resource: Resource, old: Obj, new: Obj) -> None:
    """Raises ApiError when the data of an immutable object would change."""
    changed = [name for name in ("data", "binaryData", "stringData") if new.get(name) != old.get(name)]
    if old.get("immutable") and (changed or not new.get("immutable")):
        details = {"name": old["metadata"]["name"], "kind": resource.kind}
        field = changed[0] if changed and new.get("immutable") else "immutable"
        text = f"{field}: Forbidden: field is immutable when `immutable` is set"
        raise ApiError(422, "Invalid", f'{resource.kind} "{old["metadata"]["name"]}" is invalid: {text}', details)


def merge_kept_parts(resource: Resource, old: Obj, body: Obj, sub: str, *, own: bool = True) -> Obj:
    """The object after an update: fixed fields stay, and only the subresource changes the status."""
    new = copy.deepcopy(body)
    meta = {name: value for name, value in (new.get("metadata") or {}).items() if name not in FIXED_FIELDS}
    meta |= {name: old["metadata"][name] for name in FIXED_FIELDS if name in old["metadata"]}
    if sub == "status":
        if not own and resource.by_schema:  # the subresource of a custom kind changes nothing of the metadata
            meta = {**old["metadata"], **({"managedFields": meta["managedFields"]} if "managedFields" in meta else {})}
        return {**old, "status": new.get("status", {}), "metadata": meta}
    if sub == "approval":
        return {**approve(old, new), "metadata": meta}
    if resource.status and (old.get("status") is not None or not own):
        new.pop("status", None)
        if old.get("status") is not None:
            new["status"] = copy.deepcopy(old["status"])
    return {**new, "metadata": meta}

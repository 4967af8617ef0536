"""The object API of one server."""

from __future__ import annotations

from collections.abc import Iterable

from ..datastore.cluster import Cluster
from ..datastore.etcd import Etcd
from ..datastore.store import Store
from ..failures import ApiError, no_such_path, status_object
from ..shapes import Edit, Json, Obj, Reply
from .access.authorizing import Authorizer
from .admission import NODE_FINALIZER, Admission
from .changing import Changed, Changing, check_preconditions, refuse_stale
from .deleting import Deleting, grace_of
from .kinds.kinds import Kinds
from .kinds.scaling import scale_of, scaled
from .objects import is_terminating
from .patching import APPLY, apply_patch, refuse_media_type
from .reading.selecting import selected
from .requests import Asked, asked
from .resources import RESOURCES, Resource, Target, not_found, split_path, whole


class Api:
    """The object API of one server. `call` serves HTTP and the server itself."""

    def __init__(self, store: Store, cluster: Cluster, pods: list[str], services: list[str]) -> None:
        self.store, self.cluster = store, cluster
        self.kinds = Kinds(store)
        self.authorizer = Authorizer(store)
        self.admission = Admission(store, pods, services)
        self.deleting = Deleting(store, cluster)
        self.changing = Changing(store, self.admission, self.deleting, self.kinds)

    def call(
        self, method: str, path: str, body: Json = None, content_type: str = "application/json", by: Obj | None = None
    ) -> Reply:
        """One request that is not a watch. Errors come back as Status objects.

        Args:
            method: HTTP's.
            path: Path and query.
            body: The request's, as JSON.
            content_type: Of the body.
            by: Who asks (`user`, `groups`, `agent`), for requests from outside; these are checked.
        """
        parts, query = split_path(path)
        try:
            target = self.kinds.parse(parts)
            if target is None:
                return 200, self.kinds.discovery(parts)
            if method == "GET":
                if isinstance(self.cluster, Etcd) and self.cluster.removed:
                    return self.cluster.forward({"method": "READ", "path": path})
                return 200, self.read(target, query)
            op = {"method": method, "version": target.resource.group_version, "plural": target.resource.plural,
                  "ns": target.ns, "name": target.name, "sub": target.sub, "body": body, "type": content_type,
                  "query": query, "by": by}  # fmt: skip
            return self.write(op)
        except ApiError as error:
            return error.code, error.status()

    def has(self, target: Target) -> bool:
        """Whether an object exists."""
        return self.store.get(target.resource.key, target.ns, target.name) is not None

    def read(self, target: Target, query: dict[str, str]) -> Obj:
        resource = target.resource
        if target.name:
            obj = self.store.get(resource.key, target.ns, target.name)
            if obj is None:
                raise not_found(resource, target.name)
            if target.sub == "scale" and resource.scales:
                return scale_of(obj, self.kinds.custom(resource))
            if target.sub not in ("", "status", "approval"):
                raise no_such_path() if target.sub != "eviction" else not_allowed()
            return whole(resource, obj)
        with self.store.changed:
            rev = str(self.store.rev)
            items = [obj for obj in self.store.all(resource.key, target.ns) if selected(obj, query)]
        return {"kind": f"{resource.kind}List", "apiVersion": resource.group_version,
                "metadata": {"resourceVersion": rev}, "items": items}  # fmt: skip

    def write(self, op: Obj) -> Reply:
        """Do one write on the leader. `op` is plain JSON, so that it can be forwarded."""
        try:
            if not self.cluster.is_leader:
                return self.cluster.forward(op)
            with self.cluster.lock:
                if op["method"] == "READ":
                    return self.call("GET", op["path"])
                if op["method"] == "MEMBER":
                    return self._add_member(op["body"])
                if op["method"] == "BOOTSTRAP":
                    self.cluster.commit([("_bootstrap", "", "bootstrap", op["body"])])
                    return 200, {}
                by = asked(op)
                code, answer, edits = self._edits(op, by)
                if op["query"].get("dryRun") == "All":
                    answer = self._not_kept(answer, edits)
                elif edits:
                    self.cluster.commit(edits)
                return code, with_warnings(answer, by)
        except ApiError as error:
            return error.code, error.status()

    def _not_kept(self, answer: Obj, edits: list[Edit]) -> Obj:
        """The answer to a dry run: its object has the version of the one that stays."""
        if not edits or "resourceVersion" not in answer.get("metadata", {}):
            return answer
        old = self.store.objects.get(edits[0][:3])
        meta = {key: value for key, value in answer["metadata"].items() if key != "resourceVersion"}
        return {**answer, "metadata": meta | ({"resourceVersion": old["metadata"]["resourceVersion"]} if old else {})}

    def _add_member(self, member: Obj) -> Reply:
        """Add a server. This ends the deletion of its old Node, if that still hangs."""
        reply = self.cluster.member_add(member)
        self.release_node(member["machine"])
        return reply

    def seed(self, objects: Iterable[tuple[str, Obj]]) -> None:
        """Create the cluster's first objects that are missing, by their plural, in one write. Only the leader does."""
        if not self.cluster.is_leader:
            return
        with self.cluster.lock:
            edits: list[Edit] = []
            for plural, obj in objects:
                if not self.store.get(plural, "", obj["metadata"]["name"]):
                    edits += self.changing.create(RESOURCES[plural], "", obj)[2]
            if edits:
                self.cluster.commit(edits)

    def release_node(self, name: str) -> None:
        """Finish the deletion of a Node that hangs on the server's finalizer. The caller holds the lock."""
        node = self.store.get("nodes", "", name)
        if node and is_terminating(node) and node["metadata"].get("finalizers") == [NODE_FINALIZER]:
            self.cluster.commit(self.deleting.remove(RESOURCES["nodes"], node))

    def _edits(self, op: Obj, by: Asked | None) -> Changed:
        """What a write answers, and the edits to agree on."""
        resource, method, body = self.kinds.find(op["version"], op["plural"]), op["method"], op["body"]
        if resource is None:
            raise no_such_path()
        if not op["name"] and method == "POST":
            return self.changing.create(resource, op["ns"], body or {}, by)
        if not op["name"] and method == "DELETE":
            return self._delete_all(resource, op)
        old = self.store.objects.get((resource.key, op["ns"], op["name"]))
        if method == "PATCH":
            refuse_media_type(kind_of(op), strategic=not resource.by_schema)
        if method == "PATCH" and (old is not None or kind_of(op) == APPLY):
            return self._patch(resource, old, op, by)
        if old is None:
            raise not_found(resource, op["name"])
        return self._edits_of(resource, old, op, by)

    def _patch(self, resource: Resource, old: Obj | None, op: Obj, by: Asked | None) -> Changed:
        kind, own = kind_of(op), op["body"]
        if op["sub"] == "scale" and resource.scales and old is not None:
            scale = apply_patch(scale_of(old, self.kinds.custom(resource)), own, kind, None)
            return self._scale(resource, old, scale, by)
        if not is_part(resource, op["sub"]):
            raise not_allowed()
        if kind == APPLY and by is not None:
            return self.changing.apply(resource, op["ns"], op["name"], old, op, by)
        if old is None:
            return self.changing.create(resource, op["ns"], own)
        result = apply_patch(whole(resource, old), own, kind, self.kinds.type_of(resource))
        return self.changing.update(resource, old, self.changing.patched(resource, result, by), op["sub"], by)

    def _scale(self, resource: Resource, old: Obj, scale: Obj, by: Asked | None) -> Changed:
        custom = self.kinds.custom(resource)
        refuse_stale(resource, old, scale)
        body = scaled(whole(resource, old), scale, custom)
        code, answer, edits = self.changing.update(resource, old, body, "scale", by)
        return code, scale_of(answer, custom), edits

    def _edits_of(self, resource: Resource, old: Obj, op: Obj, by: Asked | None) -> Changed:
        """The same for an object that exists."""
        method, sub = op["method"], op["sub"]
        if (method, resource.key, sub) == ("POST", "pods", "eviction"):
            return self.deleting.evict(old, op["body"])
        if method == "DELETE":
            return self._delete(resource, old, op)
        if (method, sub) == ("PUT", "scale") and resource.scales:
            return self._scale(resource, old, op["body"], by)
        if method != "PUT" or not is_part(resource, sub):
            raise not_allowed()
        return self.changing.update(resource, old, self.changing.replacement(resource, old, op, by), sub, by)

    def _delete(self, resource: Resource, old: Obj, op: Obj) -> Changed:
        check_preconditions(resource, old, op)
        edits = self.deleting.delete(resource, old, grace_of(op))
        held = edits[0][3]  # by a finalizer
        if held is not None:
            return 200, whole(resource, held), edits
        details = {"name": op["name"], "kind": resource.plural, "uid": old["metadata"]["uid"]}
        return 200, status_object("Success", 200, details=details), edits

    def _delete_all(self, resource: Resource, op: Obj) -> Changed:
        victims = [obj for obj in self.store.all(resource.key, op["ns"]) if selected(obj, op["query"])]
        edits = [edit for victim in victims for edit in self.deleting.delete(resource, victim, grace_of(op))]
        return 200, status_object("Success", 200), edits


WARNINGS = "_warnings"
"""Under this name an answer carries its warnings until they become headers."""


def with_warnings(answer: Obj, by: Asked | None) -> Obj:
    return {**answer, WARNINGS: by.warnings} if by is not None and by.warnings else answer


def kind_of(op: Obj) -> str:
    """The media type of a body."""
    return str(op["type"]).partition(";")[0].strip()


def is_part(resource: Resource, sub: str) -> bool:
    """Whether objects of this kind can be written through this subresource."""
    return sub in ("", "status") or (resource.key, sub) == ("certificatesigningrequests", "approval")


def not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

"""The object API of one server."""

from __future__ import annotations

from ..datastore.cluster import Cluster
from ..datastore.etcd import Etcd
from ..datastore.store import Store
from ..failures import ApiError, status_object
from ..shapes import Edit, Json, Obj, Reply
from .admission import NODE_FINALIZER, Admission
from .changing import Changing
from .deleting import Deleting, grace_of
from .objects import is_terminating
from .patching import apply_patch
from .resources import RESOURCES, Resource, Target, discovery, not_found, parse_target, split_path, whole
from .selecting import selected


class Api:
    """The object API of one server. `call` serves HTTP and the server itself."""

    def __init__(self, store: Store, cluster: Cluster, pods: list[str]) -> None:
        self.store, self.cluster = store, cluster
        self.admission = Admission(store, pods)
        self.deleting = Deleting(store, cluster)
        self.changing = Changing(store, self.admission, self.deleting)

    def call(self, method: str, path: str, body: Json = None, content_type: str = "application/json") -> Reply:
        """One request that is not a watch. Errors come back as Status objects."""
        parts, query = split_path(path)
        try:
            target = parse_target(parts)
            if target is None:
                return 200, discovery(parts)
            if method == "GET":
                if isinstance(self.cluster, Etcd) and self.cluster.removed:
                    return self.cluster.forward({"method": "READ", "path": path})
                return 200, self.read(target, query)
            op = {"method": method, "plural": target.resource.plural, "ns": target.ns, "name": target.name,
                  "sub": target.sub, "body": body, "type": content_type, "query": query}  # fmt: skip
            return self.write(op)
        except ApiError as error:
            return error.code, error.status()

    def read(self, target: Target, query: dict[str, str]) -> Obj:
        resource = target.resource
        if target.name:
            obj = self.store.get(resource.plural, target.ns, target.name)
            if obj is None:
                raise not_found(resource, target.name)
            return whole(resource, obj)
        with self.store.changed:
            rev = str(self.store.rev)
            items = [obj for obj in self.store.all(resource.plural, target.ns) if selected(obj, query)]
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
                code, answer, edits = self._edits(op)
                if edits and op["query"].get("dryRun") != "All":
                    self.cluster.commit(edits)
                return code, answer
        except ApiError as error:
            return error.code, error.status()

    def _add_member(self, member: Obj) -> Reply:
        """Add a server. This ends the deletion of its old Node, if that still hangs."""
        reply = self.cluster.member_add(member)
        self.release_node(member["machine"])
        return reply

    def release_node(self, name: str) -> None:
        """Finish the deletion of a Node that hangs on the server's finalizer. The caller holds the lock."""
        node = self.store.get("nodes", "", name)
        if node and is_terminating(node) and node["metadata"].get("finalizers") == [NODE_FINALIZER]:
            self.cluster.commit(self.deleting.remove(RESOURCES["nodes"], node))

    def _edits(self, op: Obj) -> tuple[int, Obj, list[Edit]]:
        """What a write answers, and the edits to agree on."""
        resource, method, body = RESOURCES[op["plural"]], op["method"], op["body"]
        if not op["name"] and method == "POST":
            return self.changing.create(resource, op["ns"], body)
        if not op["name"] and method == "DELETE":
            return self._delete_all(resource, op)
        old = self.store.objects.get((op["plural"], op["ns"], op["name"]))
        if old is not None:
            return self._edits_of(resource, old, op)
        if method == "PATCH" and op["type"].startswith("application/apply-patch"):
            return self.changing.create(resource, op["ns"], body)
        raise not_found(resource, op["name"])

    def _edits_of(self, resource: Resource, old: Obj, op: Obj) -> tuple[int, Obj, list[Edit]]:
        """The same for an object that exists."""
        method, sub = op["method"], op["sub"]
        if (method, op["plural"], sub) == ("POST", "pods", "eviction"):
            return self.deleting.evict(old, op["body"])
        if method == "DELETE":
            return self._delete(resource, old, op)
        if method not in ("PUT", "PATCH") or sub not in ("", "status"):
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        body = op["body"] if method == "PUT" else apply_patch(whole(resource, old), op["body"], op["type"])
        return self.changing.update(resource, old, body, sub)

    def _delete(self, resource: Resource, old: Obj, op: Obj) -> tuple[int, Obj, list[Edit]]:
        edits = self.deleting.delete(resource, old, grace_of(op))
        held = edits[0][3]  # by a finalizer
        if held is not None:
            return 200, whole(resource, held), edits
        details = {"name": op["name"], "kind": op["plural"], "uid": old["metadata"]["uid"]}
        return 200, status_object("Success", 200, details=details), edits

    def _delete_all(self, resource: Resource, op: Obj) -> tuple[int, Obj, list[Edit]]:
        victims = [obj for obj in self.store.all(op["plural"], op["ns"]) if selected(obj, op["query"])]
        edits = [edit for victim in victims for edit in self.deleting.delete(resource, victim, grace_of(op))]
        return 200, status_object("Success", 200), edits

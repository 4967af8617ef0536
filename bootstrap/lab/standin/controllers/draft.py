"""The workloads during a pass."""

from __future__ import annotations

from ..api.objects import controller_of
from ..datastore.store import Store
from ..shapes import Edit, Key, Obj

WORKLOADS = ("nodes", "pods", "deployments", "replicasets", "daemonsets", "statefulsets", "poddisruptionbudgets")


class Draft:
    """The workloads, and the changes to commit."""

    def __init__(self, store: Store) -> None:
        self._kinds: dict[str, dict[tuple[str, str], Obj]] = {plural: {} for plural in WORKLOADS}
        self.edits: dict[Key, Edit] = {}
        with store.changed:
            for (plural, ns, name), obj in sorted(store.objects.items(), key=lambda item: item[0]):
                if plural in self._kinds:
                    self._kinds[plural][ns, name] = obj

    def all(self, plural: str) -> list[Obj]:
        return list(self._kinds[plural].values())

    def owned(self, plural: str, owner: Obj) -> list[Obj]:
        uid = owner["metadata"]["uid"]
        return [obj for obj in self.all(plural) if controller_of(obj).get("uid") == uid]

    def put(self, plural: str, obj: Obj) -> None:
        """Add or change an object."""
        meta = dict(obj["metadata"])
        ns, name = meta.get("namespace", ""), meta["name"]
        new = {**obj, "metadata": meta}
        if self._kinds[plural].get((ns, name)) != new:
            self._kinds[plural][ns, name] = new
            self.edits[plural, ns, name] = (plural, ns, name, new)

    def status(self, plural: str, obj: Obj, status: Obj) -> None:
        if obj.get("status") != status:
            self.put(plural, {**obj, "status": status})

    def apply(self, edits: list[Edit]) -> None:
        for plural, ns, name, obj in edits:
            if obj is None:
                self._kinds[plural].pop((ns, name), None)
                self.edits[plural, ns, name] = (plural, ns, name, None)
            else:
                self.put(plural, obj)

    def drop(self, plural: str, obj: Obj) -> None:
        self.apply([(plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"], None)])

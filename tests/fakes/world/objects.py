"""Kubernetes objects of any kind, with server-side apply: fields have managers, lists are of one piece."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootstrap.manifests.values import FieldOwner, GroupKind, Object, ObjectId
from bootstrap.ports.manifests import (
    Applied,
    ApplyAnswer,
    Conflicting,
    KindFacts,
    ManifestFile,
    ManifestFiles,
    NotTaken,
)

MANAGER = "homelab-k8s"
Keys = tuple[str, ...]

BUILT_IN: Mapping[GroupKind, tuple[str, str, bool]] = {
    GroupKind("", "Namespace"): ("v1", "namespaces", False),
    GroupKind("", "ConfigMap"): ("v1", "configmaps", True),
    GroupKind("", "Secret"): ("v1", "secrets", True),
    GroupKind("", "Service"): ("v1", "services", True),
    GroupKind("", "PersistentVolumeClaim"): ("v1", "persistentvolumeclaims", True),
    GroupKind("apps", "Deployment"): ("v1", "deployments", True),
    GroupKind("batch", "Job"): ("v1", "jobs", True),
    GroupKind("helm.cattle.io", "HelmChart"): ("v1", "helmcharts", True),
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): ("v1", "customresourcedefinitions", False),
}
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass
class ObjectStore:
    """All objects, and the switches for what goes wrong.

    Attributes:
        refuses: Name of an object to the API's words.
        busy: Name of an object to how often a webhook does not answer.
        stuck: Names of objects that never become ready.
        held: Names of objects that a finalizer holds.
        journal: Each write, as `verb object`.
        die_at: Raised before the write of this name.
    """

    objects: dict[ObjectId, Object] = field(default_factory=dict)
    owners: dict[ObjectId, dict[Keys, set[str]]] = field(default_factory=dict)
    kinds: dict[GroupKind, tuple[str, str, bool]] = field(default_factory=lambda: dict(BUILT_IN))
    refuses: dict[str, str] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    journal: list[str] = field(default_factory=list)
    die_at: tuple[str, BaseException] | None = None
    check: Callable[[], None] = lambda: None
    lock: threading.RLock = field(default_factory=threading.RLock)
    version: int = 100

    def __post_init__(self) -> None:
        for name in NAMESPACES:
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def put(self, body: Object, *, manager: str = "somebody") -> None:
        """Have an object there that another manager has made, or changed."""
        kind = GroupKind(body["apiVersion"].rpartition("/")[0], body["kind"])
        identity = ObjectId(group=kind.group, kind=kind.kind, namespace=body["metadata"].get("namespace", ""),
                            name=body["metadata"]["name"])  # fmt: skip
        with self.lock:
            old = self.objects.get(identity)
            leaves = dict(_leaves(body))
            owners = self.owners.setdefault(identity, {})
            for path, value in leaves.items():
                same = old is not None and _at(old, path) == value
                owners[path] = (owners.get(path, set()) if same else set()) | {manager}
            self._store(identity, body, old)

    def names(self, *kinds: str) -> list[str]:
        """What there is of some kinds, but for the API's own namespaces."""
        return sorted(str(each) for each in self.objects if each.kind in kinds and each.name not in NAMESPACES)

    def kind(self, kind: GroupKind, version: str = "") -> KindFacts | None:
        self.check()
        with self.lock:
            known = self.kinds.get(kind)
        if known is None or version not in ("", known[0]):
            return None
        return KindFacts(kind=kind, version=known[0], plural=known[1], namespaced=known[2])

    def get(self, kind: KindFacts, namespace: str, name: str) -> Object | None:
        self.check()
        with self.lock:
            return copy.deepcopy(self.objects.get(_id(kind, namespace, name)))

    def labelled(self, kind: KindFacts, labels: Mapping[str, str], *, namespace: str = "") -> tuple[Object, ...]:
        self.check()
        with self.lock:
            return tuple(
                copy.deepcopy(found)
                for identity, found in self.objects.items()
                if identity.group_kind == kind.kind
                and namespace in ("", identity.namespace)
                and labels.items() <= found["metadata"].get("labels", {}).items()
            )

    def apply(
        self, kind: KindFacts, body: Object, *, namespace: str, dry_run: bool = False, force: bool = False
    ) -> ApplyAnswer:
        self.check()
        identity = _id(kind, namespace, body["metadata"]["name"])
        with self.lock:
            if not dry_run and self.die_at is not None and self.die_at[0] == identity.name:
                raise self.die_at[1]
            refused = self._refused(identity)
            if refused is not None:
                return refused
            old, owners = self.objects.get(identity), self.owners.get(identity, {})
            wanted = dict(_leaves(body))
            others = self._others(old, owners, wanted)
            if others and not force:
                return Conflicting(owners=others, said=f"Apply failed with {len(others)} conflicts")
            after = _without(copy.deepcopy(old or {}), [path for path, who in owners.items()
                                                        if who == {MANAGER} and path not in wanted])  # fmt: skip
            for path, value in wanted.items():
                _set(after, path, value)
            if dry_run:
                return Applied(body=_answer(after, old))
            self._own(identity, owners, wanted, old)
            if old is None or _answer(after, old) != old:
                self.journal.append(f"{'create' if old is None else 'change'} {identity}")
                self._store(identity, after, old)
            return Applied(body=copy.deepcopy(self.objects[identity]))

    def delete(self, kind: KindFacts, found: ObjectId, *, uid: str) -> bool:
        self.check()
        del kind
        with self.lock:
            there = self.objects.get(found)
            if there is None or there["metadata"]["uid"] != uid:
                return False
            self.journal.append(f"delete {found}")
            if found.name in self.held:
                there["metadata"]["finalizers"] = ["example.org/hold"]
                return True
            del self.objects[found], self.owners[found]
            if found.kind == "Namespace":
                for each in [each for each in self.objects if each.namespace == found.name]:
                    del self.objects[each], self.owners[each]
            if found.kind == "CustomResourceDefinition":
                spec = there["spec"]
                self.kinds.pop(GroupKind(spec["group"], spec["names"]["kind"]))
            return True

    def _refused(self, identity: ObjectId) -> NotTaken | None:
        namespaces = {each.name for each in self.objects if each.kind == "Namespace"}
        if identity.namespace and identity.namespace not in namespaces:
            return NotTaken(said=f'namespaces "{identity.namespace}" not found', absent=True)
        if identity.name in self.refuses:
            return NotTaken(said=self.refuses[identity.name])
        if self.busy.get(identity.name):
            self.busy[identity.name] -= 1
            return NotTaken(said='failed calling webhook "check.example.org": connection refused', passing=True)
        return None

    @staticmethod
    def _others(
        old: Object | None, owners: Mapping[Keys, set[str]], wanted: Mapping[Keys, Any]
    ) -> tuple[FieldOwner, ...]:
        if old is None:
            return ()
        found = []
        for path, value in wanted.items():
            others = owners.get(path, set()) - {MANAGER}
            if others and _at(old, path) != value:
                found.append(FieldOwner(path=".".join(path), manager=sorted(others)[0]))
        return tuple(found)

    def _own(
        self, identity: ObjectId, owners: Mapping[Keys, set[str]], wanted: Mapping[Keys, Any], old: Object | None
    ) -> None:
        new = {path: set(who) - {MANAGER} for path, who in owners.items()}
        for path, value in wanted.items():
            same = old is not None and _at(old, path) == value
            new[path] = (new.get(path, set()) if same else set()) | {MANAGER}
        self.owners[identity] = {path: who for path, who in new.items() if who}

    def _store(self, identity: ObjectId, body: Object, old: Object | None) -> None:
        self.version += 1
        metadata = {
            "uid": f"uid-{self.version}",
            "generation": 0,
            **(old or {}).get("metadata", {}),
            **body["metadata"],
        }
        metadata |= {"resourceVersion": str(self.version), "generation": metadata["generation"] + 1}
        stored = {**copy.deepcopy(body), "metadata": metadata}
        stored["status"] = self._status(identity, stored)
        self.objects[identity] = stored
        if identity.kind == "CustomResourceDefinition":
            spec = stored["spec"]
            names = spec["names"]
            kind = GroupKind(spec["group"], names["kind"])
            self.kinds[kind] = (spec["versions"][0]["name"], names["plural"], spec["scope"] == "Namespaced")

    def _status(self, identity: ObjectId, body: Object) -> Object:
        well = identity.name not in self.stuck
        seen = {"observedGeneration": body["metadata"]["generation"]}
        truth = "True" if well else "False"
        match identity.kind:
            case "Deployment":
                wanted = body["spec"].get("replicas", 1)
                return {**seen, "replicas": wanted, "updatedReplicas": wanted, "availableReplicas": wanted * well,
                        "conditions": [{"type": "Available", "status": truth}]}  # fmt: skip
            case "Job":
                kind = "Complete" if well else "Failed"
                return {"conditions": [{"type": kind, "status": "True", "message": "backoff limit exceeded"}]}
            case "CustomResourceDefinition":
                return {"conditions": [{"type": "Established", "status": truth}]}
            case "Namespace":
                return {"phase": "Active"}
            case _:
                return {}


def _id(kind: KindFacts, namespace: str, name: str) -> ObjectId:
    return ObjectId(group=kind.kind.group, kind=kind.kind.kind, namespace=namespace, name=name)


def _answer(after: Object, old: Object | None) -> Object:
    """What a dry run answers: the object with the server's own fields as they are."""
    if old is None:
        return after
    kept = {key: old["metadata"][key] for key in ("uid", "generation", "resourceVersion")}
    return {**after, "metadata": {**after["metadata"], **kept}, "status": copy.deepcopy(old["status"])}


def _leaves(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    if isinstance(value, dict) and (value or not path):
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    else:
        yield path, value


def _at(value: Any, path: Keys) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _set(value: Object, path: Keys, leaf: Any) -> None:
    for key in path[:-1]:
        if not isinstance(value.get(key), dict):
            value[key] = {}
        value = value[key]
    value[path[-1]] = copy.deepcopy(leaf)


def _without(value: Object, paths: list[Keys]) -> Object:
    for path in paths:
        above = _at(value, path[:-1])
        if isinstance(above, dict):
            above.pop(path[-1], None)
            if not above and len(path) > 1:
                _without(value, [path[:-1]])
    return value


@dataclass
class FakeManifests:
    """Files by their path as text."""

    files: dict[str, str] = field(default_factory=dict)

    def read(self, path: Path, *, shown: str) -> ManifestFiles:
        text = self.files.get(str(path))
        if text is None:
            return ManifestFiles(problems=((shown, "does not exist", ""),))
        return ManifestFiles(files=(ManifestFile(shown=shown, text=text),))

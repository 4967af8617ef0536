"""What the inventory's `manifests:` names, the objects in it, and how they differ from the cluster's."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object, as JSON."""

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, kw_only=True)
class ManifestPath:
    """A file or a folder in the list.

    Attributes:
        path: Absolute.
        shown: As the user wrote it.
    """

    path: Path
    shown: str


@dataclass(frozen=True, kw_only=True)
class ManifestObjects:
    """Objects in the list that were made here: a named add-on's.

    Attributes:
        shown: What they are of, such as `addon metallb`.
        objects: They may hold secrets.
        secrets: Texts in them that are shown nowhere.
        early: They also lie on the first server before k3s starts there for the first time, and k3s applies them.
        birth: Why they can only be there from a cluster's birth on; empty where they can come and go.
        stays: They are never pruned: more is in them than we know.
    """

    shown: str
    objects: tuple[Object, ...] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    early: bool = False
    birth: str = ""
    stays: bool = False


ManifestSource: TypeAlias = ManifestPath | ManifestObjects


@dataclass(frozen=True, order=True)
class GroupKind:
    """A kind of object, whatever its version; `group` is empty for Kubernetes' core."""

    group: str
    kind: str

    def __str__(self) -> str:
        """As ApplySets name it: `Deployment.apps`, `ConfigMap`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @classmethod
    def parse(cls, text: str) -> GroupKind:
        """From the form of `str`."""
        kind, _, group = text.partition(".")
        return cls(group, kind)


@dataclass(frozen=True, order=True, kw_only=True)
class ObjectId:
    """Which object; `namespace` is empty for objects without one."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """`Deployment media/jellyfin`, `Namespace media`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def group_kind(self) -> GroupKind:
        """Its kind."""
        return GroupKind(self.group, self.kind)


@dataclass(frozen=True, order=True, kw_only=True)
class Place:
    """Where an object was written: a file as the user names it, and a line from 1; 0 for no line."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        """`media.yaml:5`."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An object as it is to be.

    Attributes:
        body: The object; it has apiVersion, kind and metadata.name.
        place: Where it was written.
        early: k3s has applied it at the cluster's first start: its fields are taken over without a question.
        stays: It is never pruned: it is no member of our ApplySet.
    """

    body: Object = field(repr=False)
    place: Place
    early: bool = False
    stays: bool = False

    @property
    def api_version(self) -> str:
        """`apps/v1`."""
        return str(self.body["apiVersion"])

    @property
    def group_kind(self) -> GroupKind:
        """Its kind."""
        return GroupKind(self.api_version.rpartition("/")[0], str(self.body["kind"]))

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Its namespace as written; may be empty."""
        return str(self.body["metadata"].get("namespace") or "")

    def id_in(self, *, namespaced: bool) -> ObjectId:
        """Which object it is, once it is known whether its kind is in namespaces."""
        namespace = (self.namespace or DEFAULT_NAMESPACE) if namespaced else ""
        kind = self.group_kind
        return ObjectId(group=kind.group, kind=kind.kind, namespace=namespace, name=self.name)


class Change(StrEnum):
    """What applying does to an object; the values are those of the JSON output."""

    CREATE = "create"
    CHANGE = "change"
    PRUNE = "prune"
    CONFLICT = "conflict"
    """Others set fields of it."""
    REFUSED = "refused"
    """The API does not take it."""


@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """One field, as JSON; an empty text where it is not set. Secrets are masked."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class FieldOwner:
    """A field that another field manager has set."""

    path: str
    manager: str


@dataclass(frozen=True, kw_only=True)
class ObjectChange:
    """An object that differs from the cluster's.

    Attributes:
        place: Where it was written; None for one that is pruned.
        fields: What changes in it.
        owners: The fields of a conflict, with who set them.
        said: The API's words where it refuses; why it was not checked where `unchecked`.
        unchecked: It cannot be checked before an earlier wave is applied.
        loses_data: Whether data may go with it when it is pruned.
    """

    change: Change
    id: ObjectId
    place: Place | None = None
    fields: tuple[FieldChange, ...] = ()
    owners: tuple[FieldOwner, ...] = ()
    said: str = ""
    unchecked: bool = False
    loses_data: bool = False

    @property
    def blocks(self) -> bool:
        """Whether nothing of its wave is applied because of it."""
        return self.change in (Change.CONFLICT, Change.REFUSED)


@dataclass(frozen=True, kw_only=True)
class ManifestsSeen:
    """How the manifests compare with the cluster.

    Attributes:
        total: How many objects are in the list.
        changes: Those that differ, in the order in which they are applied; then those that are pruned.
        problem: Why it could not be compared; empty where it was.
        unsynced: Objects by which others apply a repository, which have not yet, each with the reason.
    """

    total: int = 0
    changes: tuple[ObjectChange, ...] = ()
    problem: str = ""
    unsynced: tuple[str, ...] = ()

    def of(self, *kinds: Change) -> tuple[ObjectChange, ...]:
        """The changes of these kinds."""
        return tuple(each for each in self.changes if each.change in kinds)

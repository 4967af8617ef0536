"""What the library needs to apply objects of any kind: the files that they are in, and Kubernetes' API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from bootstrap.manifests.values import FieldOwner, GroupKind, Object, ObjectId


@dataclass(frozen=True, kw_only=True)
class KindFacts:
    """How the API serves a kind in one of its versions.

    Attributes:
        version: `v1`.
        plural: Its name in paths: `deployments`.
        namespaced: Whether its objects are in namespaces.
    """

    kind: GroupKind
    version: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`apps/v1`."""
        return f"{self.kind.group}/{self.version}" if self.kind.group else self.version


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The object as it is now, or would be after a dry run."""

    body: Object = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Conflicting:
    """Not applied: others manage fields with other values."""

    owners: tuple[FieldOwner, ...]
    said: str


@dataclass(frozen=True, kw_only=True)
class NotTaken:
    """Not applied.

    Attributes:
        said: The API's words.
        absent: Its namespace or its kind does not exist.
        passing: It may be taken later: a webhook, or the API itself, does not answer yet.
    """

    said: str
    absent: bool = False
    passing: bool = False


ApplyAnswer: TypeAlias = Applied | Conflicting | NotTaken


class KubeObjects(Protocol):
    """Objects of any kind, in the API of one cluster. Each method raises KubeUnreachableError and KubernetesError."""

    def kind(self, kind: GroupKind, version: str = "") -> KindFacts | None:
        """How a kind is served, in this version or else the preferred one; None where it is not."""
        ...

    def get(self, kind: KindFacts, namespace: str, name: str) -> Object | None:
        """An object, or None."""
        ...

    def labelled(self, kind: KindFacts, labels: Mapping[str, str], *, namespace: str = "") -> tuple[Object, ...]:
        """The objects of a kind with these labels, of a namespace or of all."""
        ...

    def apply(
        self, kind: KindFacts, body: Object, *, namespace: str, dry_run: bool = False, force: bool = False
    ) -> ApplyAnswer:
        """Server-side apply as the field manager `homelab-k8s`.

        Args:
            kind: Its kind, in the version of `body`.
            body: The object.
            namespace: Empty for a kind without namespaces.
            dry_run: Check all and store nothing.
            force: Take fields over that others manage.
        """
        ...

    def delete(self, kind: KindFacts, found: ObjectId, *, uid: str) -> bool:
        """Delete an object unless another one has its name now; what it owns goes in the background.

        False where it is gone already.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ManifestFile:
    """A file with objects.

    Attributes:
        shown: How the user knows it.
        text: Its content; may hold secrets.
    """

    shown: str
    text: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ManifestFiles:
    """The files of a path.

    Attributes:
        problems: What could not be read: how the user knows it, message, hint.
    """

    files: tuple[ManifestFile, ...] = ()
    problems: tuple[tuple[str, str, str], ...] = ()


class ManifestReader(Protocol):
    """Reads files with objects on this computer."""

    def read(self, path: Path, *, shown: str) -> ManifestFiles:
        """A file; all *.yaml and *.yml of a folder; or what `kubectl kustomize` makes of a folder."""
        ...

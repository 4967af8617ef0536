"""The ApplySet that the objects form, so that those that are taken from the list can be pruned.

As KEP-3659 has it (kubernetes/enhancements keps/sig-cli/3659-kubectl-apply-prune) and kubectl reads it
(kubernetes/kubernetes staging/src/k8s.io/kubectl/pkg/cmd/apply/applyset.go).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bootstrap.manifests.values import GroupKind, Object, ObjectId

PART_OF: Final = "applyset.kubernetes.io/part-of"
"""The label of members; its value is the parent's `ID`."""
ID: Final = "applyset.kubernetes.io/id"
TOOLING: Final = "applyset.kubernetes.io/tooling"
GROUP_KINDS: Final = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES: Final = "applyset.kubernetes.io/additional-namespaces"

PARENT_NAMESPACE: Final = "kube-system"
PARENT_NAME: Final = "homelab-k8s-manifests"
PARENT_KIND: Final = GroupKind("", "ConfigMap")
TOOL: Final = "homelab-k8s"


def applyset_id(name: str, namespace: str, kind: GroupKind) -> str:
    """The id that belongs to a parent object: `applyset-` base64url(sha256(name.namespace.kind.group)) `-v1`."""
    digest = hashlib.sha256(f"{name}.{namespace}.{kind.kind}.{kind.group}".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


OWN_ID: Final = applyset_id(PARENT_NAME, PARENT_NAMESPACE, PARENT_KIND)


class NotOursError(ValueError):
    """The parent object is another tool's."""


@dataclass(frozen=True)
class Scope:
    """Where members may be: kinds, and namespaces besides none at all."""

    kinds: frozenset[GroupKind] = frozenset()
    namespaces: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ids: Iterable[ObjectId]) -> Scope:
        """Where these objects are."""
        known = tuple(ids)
        return cls(
            frozenset(each.group_kind for each in known),
            frozenset(each.namespace for each in known if each.namespace),
        )

    def __or__(self, other: Scope) -> Scope:
        """Both together."""
        return Scope(self.kinds | other.kinds, self.namespaces | other.namespaces)


def parent_object(scope: Scope, *, version: str) -> Object:
    """The parent, as it is applied."""
    return {
        "apiVersion": "v1",
        "kind": PARENT_KIND.kind,
        "metadata": {
            "name": PARENT_NAME,
            "namespace": PARENT_NAMESPACE,
            "labels": {ID: OWN_ID},
            "annotations": {
                TOOLING: f"{TOOL}/v{version}",
                GROUP_KINDS: ",".join(sorted(map(str, scope.kinds))),
                NAMESPACES: ",".join(sorted(scope.namespaces - {PARENT_NAMESPACE})),
            },
        },
    }


def scope_of(parent: Object | None) -> Scope:
    """Where the parent says that members are; nowhere without a parent.

    Raises:
        NotOursError: Another tool has made it, or its id is not the one that belongs to it.
    """
    if parent is None:
        return Scope()
    metadata = _mapping(parent.get("metadata"))
    labels, annotations = _mapping(metadata.get("labels")), _mapping(metadata.get("annotations"))
    tool = str(annotations.get(TOOLING) or "")
    if tool.rpartition("/")[0] != TOOL:
        raise NotOursError(f"its annotation {TOOLING} is {tool!r}, not {TOOL}/...")
    if labels.get(ID) != OWN_ID:
        raise NotOursError(f"its label {ID} is {labels.get(ID)!r}, not {OWN_ID}")
    kinds = frozenset(map(GroupKind.parse, _words(annotations.get(GROUP_KINDS))))
    return Scope(kinds, frozenset(_words(annotations.get(NAMESPACES))) | {PARENT_NAMESPACE})


def member_of(found: Object) -> str:
    """The id of the ApplySet that an object is in; empty for none."""
    return str(_mapping(_mapping(found.get("metadata")).get("labels")).get(PART_OF) or "")


def as_member(body: Object) -> Object:
    """An object with the label of members."""
    metadata = body["metadata"]
    return {**body, "metadata": {**metadata, "labels": {**_mapping(metadata.get("labels")), PART_OF: OWN_ID}}}


def _words(text: object) -> list[str]:
    return [each for each in str(text or "").split(",") if each]


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}

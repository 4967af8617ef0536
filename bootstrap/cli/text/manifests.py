"""How manifests differ from the cluster, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.cli.text.documents import Document
    from bootstrap.commands.manifests.deploy_key import DeployKey
    from bootstrap.manifests.values import FieldChange, ManifestsSeen, ObjectChange

_FIELDS = 40
"""Of an object: further ones are counted."""
_NOT_SET = "(not set)"


def diff_text(cluster: str, seen: ManifestsSeen) -> str:
    """Each object that differs, with its fields; then how many there are of each kind of change."""
    lines = [line for each in seen.changes for line in _object(each)]
    return "\n".join([*lines, *([""] if lines else []), f"{cluster}: {summary(seen)}"])


def summary(seen: ManifestsSeen) -> str:
    """`5 objects: 1 to create, 2 to change`; or that there is nothing to do."""
    kinds: dict[str, int] = {}
    for each in seen.changes:
        kinds[each.change] = kinds.get(each.change, 0) + 1
    words = {"create": "to create", "change": "to change", "prune": "to prune", "conflict": "in conflict"}
    parts = [f"{number} {words.get(kind, kind)}" for kind, number in kinds.items()]
    return f"{count(seen.total, 'object')}{': ' if parts else '; nothing to do'}{', '.join(parts)}"


def _object(change: ObjectChange) -> Iterator[str]:
    place = f"  ({change.place})" if change.place is not None else ""
    yield f"{change.change:<8}  {change.id}{place}"
    if change.loses_data:
        yield "  data may be lost with it: it is deleted only after a question"
    if change.said and not change.owners:
        yield f"  {' '.join(change.said.split())}"
    for owner in change.owners:
        yield f"  {owner.path}: managed by {owner.manager}"
    for field in change.fields[:_FIELDS]:
        yield f"  {field.path}: {_field(field)}"
    if len(change.fields) > _FIELDS:
        yield f"  ... and {len(change.fields) - _FIELDS} more fields"


def _field(field: FieldChange) -> str:
    return f"{field.before or _NOT_SET} -> {field.after or _NOT_SET}"


def key_lines(key: DeployKey | None) -> list[str]:
    """That a new deploy key is to be pasted, and the key; nothing without one."""
    return [f"then add this deploy key, with read access: {key.page}", f"  {key.line}"] if key is not None else []


def diff_document(cluster: str, seen: ManifestsSeen) -> Document:
    """The same as JSON; what does not apply to an object is null or empty."""
    return {
        "cluster": cluster,
        "total": seen.total,
        "objects": [
            {
                "change": str(each.change),
                "group": each.id.group,
                "kind": each.id.kind,
                "namespace": each.id.namespace or None,
                "name": each.id.name,
                "file": each.place.file if each.place is not None else None,
                "line": (each.place.line or None) if each.place is not None else None,
                "said": each.said or None,
                "unchecked": each.unchecked,
                "loses_data": each.loses_data,
                "fields": [
                    {"path": field.path, "before": field.before or None, "after": field.after or None}
                    for field in each.fields
                ],
                "managed_by_others": [{"path": owner.path, "manager": owner.manager} for owner in each.owners],
            }
            for each in seen.changes
        ],
    }

"""Patches: JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ..failures import ApiError
from ..shapes import Json, Obj
from .types.types import ANY, Type


def merge(target: Json, patch: Json) -> Json:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def merge_strategic(target: Json, patch: Json, kind: Type = ANY) -> Json:
    """Kubernetes' strategic merge patch. The type says which lists are merged, and by which key."""
    if not isinstance(patch, dict):
        return patch
    fields = {key: value for key, value in patch.items() if not key.startswith("$")}
    if patch.get("$patch") == "replace":
        return fields
    result = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        result = {key: value for key, value in result.items() if key in patch["$retainKeys"]}
    delete_from_lists(result, patch)
    for key, value in fields.items():
        if value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            result.pop(key, None)
        else:
            result[key] = merge_field(result.get(key), value, kind.field(key) or ANY)
    return result


def delete_from_lists(obj: Obj, patch: Obj) -> None:
    for key, items in patch.items():
        directive, _, field = key.partition("/")
        if directive == "$deleteFromPrimitiveList":
            obj[field] = [item for item in obj.get(field) or [] if item not in items]


def merge_field(old: Json, value: Json, kind: Type) -> Json:
    return merge_list(old or [], value, kind) if isinstance(value, list) else merge_strategic(old, value, kind)


def merge_list(old: list[Any], patch: list[Any], kind: Type) -> list[Any]:
    if kind.is_set and kind.kind == "list":
        return old + [item for item in patch if item not in old]
    key = kind.patch_key
    if not key:
        return patch
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]
    result = {item.get(key): item for item in old}
    for item in patch:
        if item.get("$patch") == "delete":
            result.pop(item.get(key), None)
        else:
            result[item.get(key)] = merge_strategic(result.get(item.get(key)), item, kind.element())
    return list(result.values())


def json_patch(obj: Obj, operations: list[Obj]) -> Obj:
    """RFC 6902 without move and copy."""
    root: Any = {"": copy.deepcopy(obj)}
    for operation in operations:
        steps = [s.replace("~1", "/").replace("~0", "~") for s in operation["path"].split("/")]
        parent = root
        try:
            for step in steps[:-1]:
                parent = parent[int(step) if isinstance(parent, list) else step]
            json_patch_one(parent, steps[-1], operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ApiError(422, "Invalid", f"the server rejected our request: {operation}") from error
    result: Obj = root[""]
    return result


def json_patch_one(parent: Json, last: str, operation: Obj) -> None:
    """Apply an operation to the object or list that holds the last step of its path."""
    op, value = operation["op"], operation.get("value")
    if isinstance(parent, list) and op == "add":
        parent.insert(len(parent) if last == "-" else int(last), value)
        return
    index: Any = int(last) if isinstance(parent, list) else last
    match op:
        case "add":
            parent[index] = value
        case "replace":
            if parent[index] is not None:
                parent[index] = value
        case "remove":
            del parent[index]
        case "test" if parent[index] == value:
            pass
        case _:
            raise ValueError(op)


def refuse_media_type(kind: str, *, strategic: bool) -> None:
    """Raises ApiError for patches in another form. Custom kinds take no strategic merge patches."""
    names = [*PATCHES, *([STRATEGIC] if strategic else []), APPLY]
    if kind not in names:
        text = f"the body of the request was in an unknown format - accepted media types include: {', '.join(names)}"
        raise ApiError(415, "UnsupportedMediaType", text)


def apply_patch(old: Obj, patch: Json, kind: str, of: Type | None) -> Obj:
    """The object after a patch of this media type. Raises ApiError for a patch of another form."""
    wanted = list if kind == "application/json-patch+json" else dict
    if not isinstance(patch, wanted) or (wanted is list and not all(isinstance(each, dict) for each in patch)):
        raise ApiError(400, "BadRequest", "error decoding patch: json: cannot unmarshal it into a patch")
    if kind == STRATEGIC:
        return dict(merge_strategic(old, patch, of or ANY))
    return dict(PATCHES[kind](old, patch))


APPLY = "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"
PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge,
}

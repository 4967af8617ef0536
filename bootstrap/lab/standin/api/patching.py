"""Patches: JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ..failures import ApiError
from ..shapes import Json, Obj

# Lists that a strategic merge patch merges by this key; it replaces all other lists (such as a Node's taints).
MERGE_KEYS = {
    "conditions": "type", "addresses": "type", "containers": "name", "initContainers": "name", "volumes": "name",
    "env": "name", "volumeMounts": "mountPath", "ownerReferences": "uid", "imagePullSecrets": "name",
}  # fmt: skip


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


def merge_strategic(target: Json, patch: Json) -> Json:
    """Kubernetes' strategic merge patch, whose $setElementOrder and $retainKeys only order and confirm."""
    if not isinstance(patch, dict):
        return patch
    fields = {key: value for key, value in patch.items() if not key.startswith("$")}
    if patch.get("$patch") == "replace":
        return fields
    result = dict(target) if isinstance(target, dict) else {}
    delete_from_lists(result, patch)
    for key, value in fields.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_field(key, result.get(key), value)
    return result


def delete_from_lists(obj: Obj, patch: Obj) -> None:
    for key, items in patch.items():
        directive, _, field = key.partition("/")
        if directive == "$deleteFromPrimitiveList":
            obj[field] = [item for item in obj.get(field) or [] if item not in items]


def merge_field(field: str, old: Json, value: Json) -> Json:
    return merge_list(field, old or [], value) if isinstance(value, list) else merge_strategic(old, value)


def merge_list(field: str, old: list[Any], patch: list[Any]) -> list[Any]:
    if field == "finalizers":
        return old + [item for item in patch if item not in old]
    key = MERGE_KEYS.get(field)
    if key is None:
        return patch
    result = {item[key]: item for item in old}
    for item in patch:
        if item.get("$patch") == "delete":
            result.pop(item[key], None)
        else:
            result[item[key]] = merge_strategic(result.get(item[key]), item)
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


def apply_patch(old: Obj, patch: Json, content_type: str) -> Obj:
    kind = content_type.partition(";")[0].strip()
    if kind not in PATCHES:
        raise ApiError(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}")
    result: Obj = PATCHES[kind](old, patch)
    return result


PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge,
    "application/strategic-merge-patch+json": merge_strategic,
    "application/apply-patch+yaml": merge_strategic,
}

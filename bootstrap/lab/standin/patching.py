"""The patches that the API takes."""

from __future__ import annotations

import copy
from typing import Any

from .failures import ApiError
from .shapes import Json, Obj

# Lists that a strategic merge patch merges by this key; all others it replaces (a Node's taints among them).
MERGE_KEYS = {
    "conditions": "type", "addresses": "type", "containers": "name", "initContainers": "name", "volumes": "name",
    "env": "name", "volumeMounts": "mountPath", "ownerReferences": "uid", "imagePullSecrets": "name",
}  # fmt: skip


def merge(target: Json, patch: Json, *, strategic: bool) -> Json:
    """RFC 7386, or Kubernetes' strategic merge where asked for."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    if strategic and patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    for key, value in patch.items():
        field = key.partition("/")[2]
        if strategic and key.startswith("$deleteFromPrimitiveList/"):
            result[field] = [item for item in result.get(field) or [] if item not in value]
        elif strategic and key.startswith("$"):
            continue  # $setElementOrder and $retainKeys only order and confirm
        elif value is None:
            result.pop(key, None)
        elif strategic and isinstance(value, list):
            result[key] = merge_list(key, result.get(key) or [], value)
        else:
            result[key] = merge(result.get(key), value, strategic=strategic)
    return result


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
            result[item[key]] = merge(result.get(item[key]), item, strategic=True)
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
    op, value = operation["op"], operation.get("value")
    if op not in ("add", "remove", "replace", "test"):
        raise ValueError(op)
    if isinstance(parent, list) and op == "add":
        parent.insert(len(parent) if last == "-" else int(last), value)
        return
    index: Any = int(last) if isinstance(parent, list) else last
    if op == "remove":
        del parent[index]
    elif op == "test" and parent[index] != value:
        raise ValueError(last)
    elif op == "add" or (op == "replace" and parent[index] is not None):
        parent[index] = value


def apply_patch(old: Obj, patch: Json, content_type: str) -> Obj:
    kind = content_type.partition(";")[0].strip()
    if kind == "application/json-patch+json":
        return json_patch(old, patch)
    if kind == "application/merge-patch+json":
        merged = merge(old, patch, strategic=False)
    elif kind in ("application/strategic-merge-patch+json", "application/apply-patch+yaml"):
        merged = merge(old, patch, strategic=True)
    else:
        raise ApiError(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}")
    result: Obj = merged
    return result

"""What changes in an object, field by field, with secrets masked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from bootstrap.manifests.values import FieldChange, Object

MASKED: Final = "***"
_MOST: Final = 200
"""Characters of a value that are shown."""
_SERVERS: Final = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
"""The API server's own fields of metadata."""
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's copy of the whole object, a Secret's data too."""
_ABSENT: Final = object()
_Keys: TypeAlias = tuple[str, ...]
_Difference: TypeAlias = tuple[_Keys, object, object]
"""Path, before, after."""
_SIMPLE: Final = str.maketrans("", "", "-_")


def changes_of(live: Object, wanted: Object) -> tuple[FieldChange, ...]:
    """What differs between the cluster's object and what it would be; neither status nor what the server writes."""
    secret = live.get("kind") == "Secret" and "/" not in str(live.get("apiVersion"))

    def shown(value: object, keys: _Keys) -> str:
        return _text(value, keys, secret=secret)

    return tuple(
        FieldChange(path=_path(keys), before=shown(before, keys), after=shown(after, keys))
        for keys, before, after in _differing(_compared(live), _compared(wanted), ())
    )


def _compared(found: Object) -> Object:
    metadata = found.get("metadata")
    kept = {key: value for key, value in metadata.items() if key not in _SERVERS} if isinstance(metadata, dict) else {}
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": kept}


def _differing(before: object, after: object, keys: _Keys) -> Iterator[_Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _in_mappings(before, after, keys)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _in_lists(before, after, keys)
    elif isinstance(before, dict) and after is _ABSENT and before:
        yield from _in_mappings(before, {}, keys)
    elif isinstance(after, dict) and before is _ABSENT and after:
        yield from _in_mappings({}, after, keys)
    elif before != after or isinstance(before, bool) != isinstance(after, bool):
        yield keys, before, after


def _in_mappings(before: Mapping[str, object], after: Mapping[str, object], keys: _Keys) -> Iterator[_Difference]:
    for key in sorted(before.keys() | after.keys()):
        yield from _differing(before.get(key, _ABSENT), after.get(key, _ABSENT), (*keys, _key(key)))


def _in_lists(before: Sequence[object], after: Sequence[object], keys: _Keys) -> Iterator[_Difference]:
    """By name where all items have one, as containers do; else by their place."""
    named = _by_name(before), _by_name(after)
    if named[0] is not None and named[1] is not None and (before or after):
        one, other = named[0], named[1]
        for name in dict.fromkeys((*one, *other)):
            yield from _differing(one.get(name, _ABSENT), other.get(name, _ABSENT), (*keys, f"[{name}]"))
        return
    for index in range(max(len(before), len(after))):
        pair = [each[index] if index < len(each) else _ABSENT for each in (before, after)]
        yield from _differing(pair[0], pair[1], (*keys, f"[{index}]"))


def _by_name(items: Sequence[object]) -> dict[str, object] | None:
    found: dict[str, object] = {}
    for item in items:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name in found:
            return None
        found[name] = item
    return found


def _key(key: str) -> str:
    simple = key.translate(_SIMPLE).isalnum()
    return f".{key}" if simple else f"[{json.dumps(key, ensure_ascii=False)}]"


def _path(keys: Sequence[str]) -> str:
    return "".join(keys).removeprefix(".")


def _text(value: object, keys: _Keys, *, secret: bool) -> str:
    if value is _ABSENT:
        return ""
    hidden = secret and keys[0] in (".data", ".stringData")
    if hidden or _LAST_APPLIED in keys[-1]:
        return MASKED
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."

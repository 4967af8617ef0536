"""Custom objects and the schema of their kind, in the words of kube-openapi's validation. Rules in CEL are not run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ...shapes import Obj
from .errors import FieldError, duplicate, invalid, required, unsupported

Value = Any  # what json.loads gives
Errors = Iterator[FieldError]
FITS = {"string": str, "object": dict, "array": list, "boolean": bool}


def schema_errors(schema: Obj, obj: Obj) -> list[FieldError]:
    """What of an object does not fit, without its metadata."""
    properties = {key: value for key, value in (schema.get("properties") or {}).items()
                  if key not in ("apiVersion", "kind", "metadata")}  # fmt: skip
    body = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    return list(_errors({**schema, "properties": properties}, body, ""))


def type_name(value: Value) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", dict: "object", list: "array", int: "integer", float: "number"}
    return names.get(type(value), "null")


def fits(schema: Obj, value: Value) -> bool:
    kind = schema.get("type", "")
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, int | str) and not isinstance(value, bool)
    if kind in ("integer", "number"):
        whole = isinstance(value, int) or (isinstance(value, float) and (kind == "number" or value.is_integer()))
        return whole and not isinstance(value, bool)
    return not kind or isinstance(value, FITS[kind])


def _errors(schema: Obj, value: Value, path: str) -> Errors:
    if value is None and (schema.get("nullable") or not schema.get("type")):
        return
    if not fits(schema, value):
        found, wanted = type_name(value), schema.get("type") or "integer,string"
        text = f'{path} in body must be of type {wanted}: "{found}"'
        yield FieldError(path, "FieldValueTypeInvalid", f'Invalid value: "{found}": {text}')
        return
    if schema.get("enum") and value not in schema["enum"]:
        yield unsupported(path, value, [each if isinstance(each, str) else json.dumps(each) for each in schema["enum"]])
    if isinstance(value, dict):
        yield from _object_errors(schema, value, path)
    elif isinstance(value, list):
        yield from _list_errors(schema, value, path)
    elif isinstance(value, str):
        yield from _text_errors(schema, value, path)
    elif not isinstance(value, bool):
        yield from _number_errors(schema, value, path)


def _object_errors(schema: Obj, value: Obj, path: str) -> Errors:
    properties: dict[str, Obj] = schema.get("properties") or {}
    for name in schema.get("required") or []:
        if name not in value:
            yield required(f"{path}.{name}".lstrip("."))
    more = schema.get("additionalProperties")
    for name, item in value.items():
        below = properties.get(name) or (more if isinstance(more, dict) else {})
        yield from _errors(below, item, f"{path}.{name}".lstrip("."))


def _list_errors(schema: Obj, value: list[Value], path: str) -> Errors:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        yield invalid(path, value, f"{path} in body should have at least {least} items")
    if most is not None and len(value) > most:
        text = f"must have at most {most} item{'' if most == 1 else 's'}"
        yield FieldError(path, "FieldValueTooMany", f"Too many: {len(value)}: {text}")
    keys = schema.get("x-kubernetes-list-map-keys") if schema.get("x-kubernetes-list-type") == "map" else None
    seen: list[Value] = []
    for at, item in enumerate(value):
        yield from _errors(schema.get("items") or {}, item, f"{path}[{at}]")
        mark = {key: item.get(key) for key in keys} if keys and isinstance(item, dict) else item
        if (keys or schema.get("x-kubernetes-list-type") == "set") and mark in seen:
            yield duplicate(f"{path}[{at}]", mark)
        seen.append(mark)


def _text_errors(schema: Obj, value: str, path: str) -> Errors:
    least, most, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if least is not None and len(value) < least:
        yield invalid(path, value, f"{path} in body should be at least {least} chars long")
    if most is not None and len(value) > most:
        yield FieldError(path, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")
    if pattern and not re.search(pattern, value):
        yield invalid(path, value, f"{path} in body should match '{pattern}'")


def _number_errors(schema: Obj, value: float, path: str) -> Errors:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and (value < least or (schema.get("exclusiveMinimum") and value == least)):
        word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield invalid(path, value, f"{path} in body should be {word} {least}")
    if most is not None and (value > most or (schema.get("exclusiveMaximum") and value == most)):
        word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield invalid(path, value, f"{path} in body should be {word} {most}")

"""Decoding: a body becomes an object of its kind, with the errors and warnings of Kubernetes' decoder."""

from __future__ import annotations

import base64
import binascii
import calendar
import json
import re
from typing import Any

from ...failures import ApiError
from ...shapes import Obj
from ..resources import Resource
from .types import Type

Value = Any  # what json.loads gives
QUANTITY = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|n|u|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?"
NO_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"


class WrongTypeError(Exception):
    """A value that the decoder cannot take."""


class Decoded:
    """A body as an object: without unknown fields, which are listed."""

    def __init__(self, kind: Type, body: Obj, *, typed: bool = True) -> None:
        self.unknown: list[str] = []
        self._typed = typed
        self.obj: Obj = self._value(kind, body, "", "", kind.name)

    def _value(self, kind: Type, value: Value, path: str, fields: str, owner: str) -> Value:
        """`path` is the field with its indices, `fields` the one without, `owner` the struct that it is in."""
        if value is None or kind.kind == "any" or not (self._typed or isinstance(value, list | dict)):
            return value
        if kind.kind == "scalar":
            if not self._typed:
                return value
            problem = scalar_problem(kind.scalar, value)
            if problem:
                raise WrongTypeError(problem.format(field=f"{owner}.{fields}"))
            return value
        if kind.kind == "list":
            return self._list(kind, value, path, fields, owner)
        if not isinstance(value, dict):
            if not self._typed:
                return value
            name = f"v1.{kind.name}" if kind.kind == "struct" else f"map[string]{go_name(kind.element())}"
            raise WrongTypeError(mismatch(value, name).format(field=f"{owner}.{fields}"))
        return self._map(kind, value, path, fields, owner)

    def _list(self, kind: Type, value: Value, path: str, fields: str, owner: str) -> Value:
        if not isinstance(value, list):
            if not self._typed:
                return value
            raise WrongTypeError(mismatch(value, f"[]{go_name(kind.element())}").format(field=f"{owner}.{fields}"))
        item = kind.element()
        return [self._value(item, each, f"{path}[{at}]", fields, owner) for at, each in enumerate(value)]

    def _map(self, kind: Type, value: Obj, path: str, fields: str, owner: str) -> Obj:
        result = {}
        for name, item in value.items():
            below = kind.field(name)
            at = f"{path}.{name}" if path else name
            if below is None:
                self.unknown.append(at)
            elif at == "metadata" and not self._typed:  # that of a custom object has types too
                self._typed = True
                result[name] = self._value(below, item, at, name, kind.name)
                self._typed = False
            elif kind.kind == "struct":
                result[name] = self._value(below, item, at, f"{fields}.{name}" if fields else name, kind.name)
            else:
                result[name] = self._value(below, item, at, fields, owner)
        return result


def go_name(kind: Type) -> str:
    """A type's name in Go, as far as messages need it."""
    if kind.kind == "struct":
        return f"v1.{kind.name}"
    return {"bytes": "[]uint8"}.get(kind.scalar, kind.scalar or "interface {}")


def json_name(value: Value) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float):
        return f"number {value}"
    names = {dict: "object", list: "array", str: "string", int: "number"}
    return names.get(type(value), "null")


def mismatch(value: Value, wanted: str) -> str:
    return f"json: cannot unmarshal {json_name(value)} into Go struct field {{field}} of type {wanted}"


def scalar_problem(scalar: str, value: Value) -> str:
    """What a decoder says about this value; "" if it takes it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match scalar:
        case "string":
            return "" if isinstance(value, str) else mismatch(value, "string")
        case "bool":
            return "" if isinstance(value, bool) else mismatch(value, "bool")
        case "int32" | "int64":
            return _integer_problem(scalar, value)
        case "float64":
            return "" if number else mismatch(value, "float64")
        case "int-or-string":
            fine = isinstance(value, str) or (number and isinstance(value, int))
            return "" if fine else f"json: cannot unmarshal {json_name(value)} into Go value of type int32"
        case "quantity":
            return "" if number or re.fullmatch(QUANTITY, str(value)) else NO_QUANTITY
        case "time":
            return _time_problem(value)
        case _:
            return _bytes_problem(value)


def _integer_problem(scalar: str, value: Value) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return mismatch(value, scalar)
    limit = 2 ** (31 if scalar == "int32" else 63)
    if -limit <= value < limit:
        return ""
    return mismatch(value, scalar).replace("number ", f"number {value} ", 1)


def _time_problem(value: Value) -> str:
    if not isinstance(value, str):
        return f"json: cannot unmarshal {json_name(value)} into Go value of type string"
    found = re.fullmatch(TIME, value)
    if found and 1 <= int(value[5:7]) <= 12:
        if 1 <= int(value[8:10]) <= calendar.monthrange(int(value[:4]) or 4, int(value[5:7]))[1]:
            return ""
        return f'parsing time "{value}": day out of range'
    return f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"'


def _bytes_problem(value: Value) -> str:
    if not isinstance(value, str):
        return mismatch(value, "[]uint8")
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        wrong = next(
            (at for at, char in enumerate(value) if not re.match(r"[A-Za-z0-9+/=]", char)), len(value) // 4 * 4
        )
        return f"illegal base64 data at input byte {wrong}"
    return ""


def _read(kind: Type, resource: Resource, body: Obj) -> Decoded:
    """Custom objects are read without their types, which their schema checks."""
    return Decoded(kind, body, typed=not resource.by_schema)


def decode(kind: Type, resource: Resource, body: Obj, directive: str) -> tuple[Obj, list[str]]:
    """The object and the warnings. Raises ApiError for wrong types and, with Strict, for unknown fields."""
    about = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
    try:
        decoded = _read(kind, resource, body)
    except WrongTypeError as error:
        raise ApiError(400, "BadRequest", f"{about}: {error}") from error
    problems = [f'unknown field "{field}"' for field in decoded.unknown]
    if problems and directive == "Strict":
        raise ApiError(400, "BadRequest", f"{about}: strict decoding error: {', '.join(problems)}")
    return decoded.obj, problems if directive != "Ignore" else []


def decode_patched(kind: Type, resource: Resource, body: Obj, directive: str) -> tuple[Obj, list[str]]:
    """The same for the result of a patch, whose errors have another form."""
    try:
        decoded = _read(kind, resource, body)
    except WrongTypeError as error:
        raise invalid_patch(body, str(error)) from error
    problems = [f'unknown field "{field}"' for field in decoded.unknown]
    if problems and directive == "Strict":
        raise invalid_patch(body, f"strict decoding error: {', '.join(problems)}")
    return decoded.obj, problems if directive != "Ignore" else []


def invalid_patch(body: Obj, text: str) -> ApiError:
    message = f"Invalid value: {json.dumps(json.dumps(body, separators=(',', ':')))}: {text}"
    details = {"causes": [{"reason": "FieldValueInvalid", "message": message, "field": "patch"}]}
    return ApiError(422, "Invalid", f' "" is invalid: patch: {message}', details)

"""Errors of fields, in the words of Kubernetes (apimachinery, util/validation/field)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...failures import ApiError
from ..resources import Resource

Value = Any  # what json.loads gives


class FieldError(NamedTuple):
    """One error of a field."""

    field: str
    reason: str
    message: str


def shown(value: Value) -> str:
    """A value in a message: strings quoted, objects as JSON."""
    if isinstance(value, str | dict | list):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def invalid(field: str, value: Value, detail: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}")


def unsupported(field: str, value: Value, known: Iterable[str]) -> FieldError:
    names = ", ".join(f'"{each}"' for each in known)
    return FieldError(field, "FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {names}")


def duplicate(field: str, value: Value) -> FieldError:
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def not_there(field: str, value: Value) -> FieldError:
    return FieldError(field, "FieldValueNotFound", f"Not found: {shown(value)}")


def refuse(resource: Resource, name: str, errors: Iterable[FieldError]) -> None:
    """Raises ApiError if there are errors."""
    found = list(errors)
    if found:
        raise refusal(resource.group_kind, resource, name, found)


def refusal(kind: str, resource: Resource | None, name: str, found: list[FieldError]) -> ApiError:
    texts = list(dict.fromkeys(f"{each.field}: {each.message}" for each in found))
    causes = [{"reason": each.reason, "message": each.message, "field": each.field} for each in found]
    details = {"name": name} if name else {}
    if resource is not None:
        details |= {"group": resource.group} if resource.group else {}
        details |= {"kind": resource.kind}
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return ApiError(422, "Invalid", f"{kind} {shown(name)} is invalid: {text}", {**details, "causes": causes})

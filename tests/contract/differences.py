"""Where two hosts answer the same request differently: one line per difference.

The cases say what has to be so; this compares all that was answered, fields included, and fails nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import requests

Answer = Mapping[str, Any]
COMPARED_NAMES = ("new", "vm", "template_name", "template", "missing", "base", "admin_id", "node")


def described(request: str, reply: requests.Response, names: Mapping[str, Any], exit_status: str = "") -> Answer:
    """What can be compared of an answer, with the host's own names taken out of its texts."""
    body = reply.json() if reply.status_code == 200 else {}
    errors = _errors_of(reply)
    return {
        "request": request,
        "status": reply.status_code,
        "reason": _without_names(str(reply.reason), names),
        "errors": {key: _without_names(str(text), names) for key, text in errors.items()},
        "task": _without_names(exit_status, names),
        "fields": _fields(body.get("data")),
    }


def compared(title: str, real: Sequence[Answer], lab: Sequence[Answer], *, own: Set[str] = frozenset()) -> list[str]:
    """One line for each thing in which the lab's answers differ from the real host's.

    Args:
        title: The case's.
        real: The real host's answers.
        lab: The lab's.
        own: Fields that are not compared, since the template of one of the hosts has them and the other's has not.
    """
    found = []
    for one, other in zip(real, lab, strict=False):
        head = f"{title}: {one['request']}:"
        found += [
            f"{head} {key} real {one[key]!r}, lab {other[key]!r}"
            for key in ("status", "reason", "errors", "task")
            if one[key] != other[key]
        ]
        fields = [{key: kind for key, kind in each["fields"].items() if key not in own} for each in (one, other)]
        found += [f"{head} {line}" for line in _compared_fields(*fields)]
    return found


def _compared_fields(real: Mapping[str, str], lab: Mapping[str, str]) -> list[str]:
    found = []
    if not real or not lab:  # an empty list has no fields to compare
        return [f"empty for the {'lab' if real else 'real host'} alone"] if bool(real) != bool(lab) else []
    for who, names in (("real", real.keys() - lab.keys()), ("lab", lab.keys() - real.keys())):
        if names:
            found.append(f"only {who}: {' '.join(sorted(names))}")
    common = sorted(key for key in real.keys() & lab.keys() if real[key] != lab[key])
    return found + [f"type of {key}: real {real[key]}, lab {lab[key]}" for key in common]


def _fields(data: Any) -> dict[str, str]:
    """Names and types of an object's fields, or of those of all rows together; numbers are one type."""
    rows = data if isinstance(data, list) else [data]
    found: dict[str, str] = {}
    for row in rows:
        for key, value in row.items() if isinstance(row, dict) else ():
            found[key] = "number" if isinstance(value, int | float) else type(value).__name__
    return found


def _errors_of(reply: requests.Response) -> Mapping[str, Any]:
    if reply.status_code != 400:
        return {}
    errors: Mapping[str, Any] = reply.json().get("errors", {})
    return errors


def _without_names(text: str, names: Mapping[str, Any]) -> str:
    for name in COMPARED_NAMES:
        if str(names.get(name, "")):
            text = text.replace(str(names[name]), f"{{{name}}}")
    return text

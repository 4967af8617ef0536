"""What a case may say of an answer.

A text that starts with `~` is a pattern for the whole value, `int N` an integer, `int >0` any positive one,
`number` any number. Of a
mapping the case names what must be there; a list must agree item by item. `{name}` stands for a value of the host
the suite runs against; names that are not known are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"\{(\w+)\}")


def filled(value: Any, names: Mapping[str, Any]) -> Any:
    """The value with the names in its texts replaced; in a pattern they stand for themselves."""
    if isinstance(value, str):
        quote = re.escape if value.startswith("~") else str

        def put(found: re.Match[str]) -> str:
            return quote(str(names[found[1]])) if found[1] in names else found[0]

        return _NAME.sub(put, value)
    if isinstance(value, Mapping):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return value


def difference(wanted: Any, got: Any, *, where: str = "answer") -> str | None:
    """What is wrong with `got`, in one line; None where it agrees."""
    if isinstance(wanted, Mapping):
        if not isinstance(got, Mapping):
            return f"{where}: {got!r} is no object"
        if not wanted and got:
            return f"{where}: {got!r} is not empty"
        for key, item in wanted.items():
            if key not in got:
                return f"{where}: no {key!r} in {got!r}"
            found = difference(item, got[key], where=f"{where}.{key}")
            if found:
                return found
        return None
    if isinstance(wanted, list):
        if not isinstance(got, list) or len(wanted) != len(got):
            return f"{where}: {got!r} instead of {wanted!r}"
        pairs = (difference(a, b, where=f"{where}[]") for a, b in zip(wanted, got, strict=True))
        return next((found for found in pairs if found), None)
    return None if _agrees(wanted, got) else f"{where}: {got!r} instead of {wanted!r}"


def _agrees(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, str) and wanted.startswith("~"):
        return isinstance(got, str) and re.fullmatch(wanted[1:], got, re.DOTALL) is not None
    if isinstance(wanted, str) and wanted.startswith("int "):
        number = isinstance(got, int) and not isinstance(got, bool)
        return number and (got > 0 if wanted == "int >0" else got == int(wanted[4:]))
    if wanted == "number":
        return isinstance(got, int | float) and not isinstance(got, bool)
    return type(wanted) is type(got) and bool(wanted == got)

"""Parameters of a request: query, form or JSON body, with the errors of Proxmox's HTTP server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from bootstrap.lab.front.gateway.call import PlainError, bad_parameters

_NEEDED_BY = re.compile(r"missing property required by '([^']*)'")
_WHERE = "at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 917."


async def parameters_of(request: web.Request) -> dict[str, Any]:
    """All parameters as sent; a name given twice is a list.

    Raises:
        PlainError: A body on DELETE, malformed JSON, or a content type the API does not take.
    """
    found = _collect(request.query.items())
    body = await request.read()
    if request.content_type == "multipart/form-data":
        fields = multipart_fields(body, request.headers["Content-Type"])
        return found | {key: file or data.decode(errors="replace") for key, (data, file) in fields.items()}
    if request.method == "DELETE" and body:
        raise PlainError(501, "Unexpected content for method 'DELETE'")
    if request.method not in ("POST", "PUT"):
        return found
    kind = request.headers.get("Content-Type", "").split(";")[0]
    if kind == "application/json":
        return found | _json_object(body)
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise PlainError(506, f"upload 'Content-Type '{kind}' not implemented")
    return found | _collect(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def check_booleans(raw: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    """Refuse `true` for a boolean: Proxmox accepts only 1, 0 and JSON's own true and false."""
    problems = {
        name: f"type check ('boolean') failed - got '{value}'"
        for name, value in raw.items()
        if isinstance(value, str) and value not in ("0", "1") and declared.get(name, {}).get("type") == "boolean"
    }
    if problems:
        raise bad_parameters(**problems)


def proxmox_words(problems: Mapping[str, str]) -> dict[str, str]:
    """Texts of parameter errors as Proxmox VE 8.4 words them; fakepve's are those of version 9."""
    return {
        name: _NEEDED_BY.sub(r"missing property - '\1' requires this property", text) for name, text in problems.items()
    }


def multipart_fields(body: bytes, content_type: str) -> dict[str, tuple[bytes, str]]:
    """The parts of a multipart/form-data body: name to content and file name (empty where it is no file)."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    found: dict[str, tuple[bytes, str]] = {}
    if not boundary:
        return found
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, data = part[2:-2].partition(b"\r\n\r\n")
        text = head.decode(errors="replace")
        name = re.search(r'[; ]name="([^"]*)"', text)
        file = re.search(r'filename="([^"]*)"', text)
        if name is not None:
            found[name[1]] = (data, file[1] if file else "")
    return found


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except json.JSONDecodeError as error:
        # Proxmox names the offset where its parser stopped; Python's stops elsewhere for some texts.
        text = "malformed JSON string, neither tag, array, object, number, string or atom, "
        rest = error.doc[error.pos :] or "(end of string)"
        raise PlainError(500, f'{text}at character offset {error.pos} (before "{rest[:20]}") {_WHERE}') from error
    if not isinstance(data, dict):
        raise PlainError(500, f"JSON body is not an object {_WHERE}")
    return data


def _collect(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key not in found:
            found[key] = value
        elif isinstance(found[key], list):
            found[key].append(value)
        else:
            found[key] = [found[key], value]
    return found

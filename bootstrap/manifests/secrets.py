"""Secrets as they are applied, and what is said of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

from bootstrap.manifests.values import Object

_MASKED: Final = "***"
_SHORTEST: Final = 3
"""Characters of a value that is masked: shorter ones would be found in any text."""


def with_data(body: Object) -> Object:
    """A Secret with its `stringData` in `data`, as Kubernetes stores it; others as they are.

    Nobody manages what `stringData` became: a key that is taken from it would stay in the Secret for ever
    (kubernetes/kubernetes issue 108008).
    """
    texts = body.get("stringData")
    if body.get("kind") != "Secret" or body.get("apiVersion") != "v1" or not isinstance(texts, dict):
        return body
    data = body.get("data") or {}
    if not isinstance(data, dict) or not all(isinstance(each, str) for each in texts.values()):
        return body  # the API says what is wrong
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return {**{key: value for key, value in body.items() if key != "stringData"}, "data": {**data, **encoded}}


def without_secrets(said: str, body: Object) -> str:
    """What the API says of an object; the values of a Secret, which it may quote, are masked."""
    if body.get("kind") != "Secret":
        return said
    values = {text for key in ("data", "stringData") for text in _texts(body.get(key))}
    for text in sorted(values, key=len, reverse=True):
        said = said.replace(text, _MASKED)
    return said


def _texts(value: object) -> Iterator[str]:
    """Each value below, as it is written and as base64 of it and in it."""
    if isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _texts(below)
    elif value is not None and len(str(value)) >= _SHORTEST:
        text = str(value)
        yield text
        yield base64.b64encode(text.encode()).decode()
        try:
            plain = base64.b64decode(text, validate=True).decode()
        except ValueError:
            return
        if len(plain) >= _SHORTEST:
            yield plain

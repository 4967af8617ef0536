"""Secrets as they are applied."""

from __future__ import annotations

import base64

from bootstrap.manifests.values import Object


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

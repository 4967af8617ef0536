"""What our entries are known by in kubeconfigs, whatever they are called there.

A CA belongs to one cluster alone; a name does not: `demo`, `default` and `kubernetes` are everywhere. What is
compared are whole chains: two clusters may well share a root that their user brought along.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

import yaml

from bootstrap.model.reading_yaml import read_words

_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
_SECTIONS = (("clusters", "cluster"), ("users", "user"))


def authority_mark(value: str) -> str:
    """Of a cluster's `certificate-authority-data` (base64)."""
    return f"ca:{_digest(b''.join(_blocks(value)))}"


def issuer_mark(value: str) -> str:
    """Of who issued a user's `client-certificate-data` (base64): k3s appends its client CA, so a renewed one fits."""
    first, *issuers = _blocks(value)
    return f"by:{_digest(b''.join(issuers) or first)}"


def server_mark(url: str) -> str:
    """Of a cluster's `server`."""
    return f"at:{_digest(url.rstrip('/').lower().encode())}"


def marks_of(kubeconfig: str | None) -> frozenset[str]:
    """The marks of one of our kubeconfigs; none of a text that is no kubeconfig, or is not there."""
    try:
        loaded = read_words(kubeconfig or "")
    except (yaml.YAMLError, ValueError):
        return frozenset()
    found: set[str] = set()
    for section, inner in _SECTIONS:
        entries = loaded.get(section) if isinstance(loaded, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            found |= _marks(entry.get(inner) if isinstance(entry, dict) else None)
    return frozenset(found)


def _marks(inner: object) -> set[str]:
    found: set[str] = set()
    for key, mark in (
        ("certificate-authority-data", authority_mark),
        ("client-certificate-data", issuer_mark),
        ("server", server_mark),
    ):
        value = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(value, str) and value:
            found.add(mark(value))
    return found


def _blocks(value: str) -> list[bytes]:
    """The PEM blocks of a base64 value without white space; where there are none, the value."""
    try:
        content = base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        content = value.encode(errors="surrogatepass")
    return [b"".join(block.split()) for block in _PEM.findall(content)] or [content]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

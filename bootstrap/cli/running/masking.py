"""Masks secrets in output and logs: known ones, and text that looks like one (`secret_patterns`)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Final

from bootstrap.model.visible import visible

MASK: Final = "***"
SHORTEST = 8
"""A known secret shorter than this is not masked: it may be part of ordinary words."""

_API_TOKEN: Final = re.compile(r"[^\s@]+@[^\s!]+![\w.-]+[=:](?P<secret>\S+)")
"""Only the end of a Proxmox VE token is secret; errors need its user and name."""
_WORD: Final = re.compile(r"(?!\d+(?!\S))[^\s\"{}\[\],]{8,}")
"""Not JSON's punctuation, and not a number alone."""


class Masker:
    """Masks secrets in text."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def add(self, secret: str | None) -> None:
        """Know one more secret; it is masked wherever it stands, and as JSON, URLs and base64 have it too."""
        text = (secret or "").strip()
        token = _API_TOKEN.fullmatch(text)
        text = token["secret"] if token else text
        if len(text) < SHORTEST or text in self._known:
            return
        from urllib.parse import quote  # here and below, since `--help` has no secrets to add

        forms = {text, quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1], _base64(text)}
        # The longest first: one secret may be part of another.
        self._known = dict.fromkeys(sorted({*self._known, *forms}, key=len, reverse=True))

    def add_words(self, text: str) -> None:
        """Know the secrets in a text such as k3s's tokens of old: each word, and what follows its last colon."""
        for word in _WORD.findall(text):
            self.add(word)
            self.add(word.rpartition(":")[2])

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Know the environment's secrets, by the names of variables."""
        from bootstrap.cli.running.secret_patterns import SECRET_NAME

        for name, value in environ.items():
            if SECRET_NAME.search(name):
                self.add(value)

    def without_secrets(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment for programs that we start, without variables that are secret by name or value."""
        from bootstrap.cli.running.secret_patterns import SECRET_NAME

        return {
            name: value
            for name, value in environ.items()
            if not name.startswith("PROXMOX_") and not SECRET_NAME.search(name) and self.known(value) == value
        }

    def known(self, text: str) -> str:
        """The text without known secrets."""
        for secret in self._known:
            text = text.replace(secret, MASK)
        return text

    def shown(self, text: str) -> str:
        """The text without secrets as it is shown: sentences about tokens, and checksums, stay readable."""
        from bootstrap.cli.running.secret_patterns import ON_TERMINAL

        return _without(self.known(text), ON_TERMINAL)

    def all(self, text: str) -> str:
        """The text without known secrets and without text that looks like one. For files."""
        from bootstrap.cli.running.secret_patterns import IN_FILES

        return _without(self.known(text), IN_FILES)


def _base64(text: str) -> str:
    from binascii import b2a_base64

    return b2a_base64(text.encode(errors="surrogateescape"), newline=False).decode()


def _without(text: str, patterns: Iterable[tuple[re.Pattern[str], str]]) -> str:
    for pattern, replacement in patterns:
        text = pattern.sub(replacement, text)
    return text


class MaskingFormatter(logging.Formatter):
    """Masks whole records, tracebacks included: secrets hide in exception texts."""

    def __init__(self, masker: Masker) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)-7s %(threadName)s %(name)s: %(message)s", "%H:%M:%S")
        self._masker = masker

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return visible(self._masker.all(super().format(record)))

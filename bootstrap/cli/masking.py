"""Keeps secrets out of what is written down: those that are known, and all that looks like one."""

from __future__ import annotations

import logging
import re

MASK = "***"
SHORTEST = 8
"""A known secret shorter than this is not masked: it would tear holes into ordinary words."""

_KEY = r"(?:password|passwd|passphrase|secret|token|client-key-data|cipassword)"
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"',;}]+)"""
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    # k3s: K10<sha256 of the CA>::<user>:<password>; kubeadm-style id.secret passwords end at white space too.
    (re.compile(r"K10[0-9a-fA-F]{6,}::[^\s\"']+"), "K10" + MASK),
    (re.compile(r"(PVEAPIToken=[^\s=]+=)[^\s\"',]+"), r"\g<1>" + MASK),
    # Proxmox VE: user@realm!name=UUID
    (re.compile(r"(![A-Za-z][\w.-]*[=:])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), r"\g<1>" + MASK),
    (re.compile(r"(://[^/@\s:]+:)[^/@\s]+@"), r"\g<1>" + MASK + "@"),
    (re.compile(rf"""(?i)(\b{_KEY}["']?\s*[:=]\s*){_VALUE}"""), r"\g<1>" + MASK),
    # Our own k3s tokens are 64 hex digits. So are SHA-256 sums, which a log can do without.
    (re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])"), MASK),
)


class Masker:
    """Masks secrets in text."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def add(self, secret: str | None) -> None:
        """Know one more secret; it is masked wherever it stands."""
        if secret is not None and len(secret.strip()) >= SHORTEST:
            self._known.add(secret.strip())

    def known(self, text: str) -> str:
        """The text without the secrets that are known. For the terminal, where a checksum has to stay readable."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text

    def all(self, text: str) -> str:
        """The text without the secrets that are known and without what looks like one. For files."""
        text = self.known(text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


class MaskingFormatter(logging.Formatter):
    """Masks whole records, tracebacks included: secrets hide in exception texts."""

    def __init__(self, masker: Masker) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)-7s %(threadName)s %(name)s: %(message)s", "%H:%M:%S")
        self._masker = masker

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return self._masker.all(super().format(record))

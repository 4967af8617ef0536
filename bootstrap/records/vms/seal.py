"""Seals on the records in VMs' descriptions: with a cluster's key its records are verified.

Anyone who may change the options of any VM may write any description. A seal is an HMAC-SHA256 over all that a record
says, what kind of record it is, and the VM it is about: vmid, name and identity (SMBIOS UUID; containers: net0's MAC
address).
See docs/adr/0001-what-is-ours.md and docs/adr/0023-authentic-records.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SEAL = "seal"
"""The key of the seal in a record's JSON; it is not part of what is sealed."""
_PURPOSE = "homelab-k8s record"
_FORMAT = 1
SECRET_BYTES = 32
"""Of a record key."""


class RecordKind(StrEnum):
    """What a record is of; one kind's seal is no other kind's."""

    MACHINE = "machine"
    CLONE = "clone"
    """A machine's that a clone request carries: the VM's identity is not known yet, and is not sealed."""
    TEMPLATE = "template"
    LOCK = "lock"


@dataclass(frozen=True, kw_only=True)
class Bearer:
    """The VM that a record is about, as Proxmox VE has it.

    Attributes:
        identity: What distinguishes it from another VM of its vmid; empty where that is not known yet.
    """

    vmid: int
    name: str
    identity: str


@dataclass(frozen=True)
class RecordKey:
    """The key that records are sealed with: 32 bytes, a secret."""

    secret: bytes = field(repr=False)

    def seal(self, kind: RecordKind, body: Mapping[str, object], bearer: Bearer) -> str:
        """The seal of a record's fields, as 64 hex digits.

        Raises:
            ValueError: The fields have no canonical form: a number is not finite.
        """
        text = json.dumps(
            [_PURPOSE, _FORMAT, kind.value, bearer.vmid, bearer.name, bearer.identity, body],
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        )
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def sealed(self, kind: RecordKind, body: Mapping[str, object], bearer: Bearer) -> dict[str, object]:
        """The fields with their seal."""
        return {**body, SEAL: self.seal(kind, body, bearer)}

    def fits(self, kind: RecordKind, description: str, *, mark: str, bearer: Bearer) -> bool:
        """Whether the record in a description bears this key's seal, of this kind and for this very VM."""
        body = body_in(description, mark=mark)
        if body is None:
            return False
        seal = body.pop(SEAL, None)
        try:
            wanted = self.seal(kind, body, bearer)
        except (ValueError, RecursionError):
            return False
        return isinstance(seal, str) and hmac.compare_digest(seal.encode(errors="replace"), wanted.encode())


def render_record_key(key: RecordKey) -> str:
    """A random key as its file has it: 64 hex digits, a secret. Any other length is another format."""
    return f"{key.secret.hex()}\n"


def parse_record_key(text: str | None) -> RecordKey | None:
    """A random key out of its file; a damaged one counts as none."""
    try:
        secret = bytes.fromhex(text or "")
    except ValueError:
        return None
    return RecordKey(secret) if len(secret) == SECRET_BYTES else None


def render_sealed(
    body: Mapping[str, object], kind: RecordKind, *, key: RecordKey, bearer: Bearer, mark: str, sentence: str, into: str
) -> str:
    """A description with a record and its seal.

    Args:
        body: The record's fields.
        kind: What it is of.
        key: Seals it.
        bearer: The VM.
        mark: What the record's line begins with.
        sentence: For people, where the description is a new one.
        into: The description as it is: what users wrote around the line stays, byte for byte.
    """
    line = f"{mark} {json.dumps(key.sealed(kind, body, bearer), separators=(',', ':'))}"
    lines = into.splitlines(keepends=True)
    for number, old in enumerate(lines):
        if old.startswith(mark):
            lines[number] = line + old[len(old.splitlines()[0]) :]
            return "".join(lines)
    return f"{sentence}\n{line}"


def text_in(description: str, *, mark: str) -> str | None:
    """What follows the mark on the first line that begins with it; None where no line does."""
    return next((line.removeprefix(mark) for line in description.splitlines() if line.startswith(mark)), None)


def body_in(description: str, *, mark: str) -> dict[str, object] | None:
    """The JSON object of the first line that begins with `mark`; None where there is none that can be read."""
    text = text_in(description, mark=mark)
    try:
        body = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def is_sealed(description: str, *, mark: str) -> bool:
    """Whether a record bears a seal at all, no matter whose."""
    body = body_in(description, mark=mark)
    return body is not None and SEAL in body

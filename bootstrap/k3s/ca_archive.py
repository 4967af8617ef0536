"""A cluster's CAs as a server hands them out: an archive that another server unpacks as root. Pure."""

from __future__ import annotations

import base64
import binascii
import io
import tarfile

from bootstrap.errors import GuestError

CAS = ("server-ca", "client-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca")
FILES = frozenset({*(f"{ca}.{end}" for ca in CAS for end in ("crt", "key")), "service.key"})
"""What read-identity.sh packs."""

_MOST_CHARS = 1 << 20
_MOST_BYTES = 1 << 16
"""Of one file."""


def check_identity(packed: str, *, source: str) -> str:
    """A base64 tar that holds the files of an identity, each once, and nothing else: no links, no other places.

    Raises:
        GuestError: It is none.
    """
    text = packed.strip()
    problem = f"it has {len(text)} characters" if len(text) > _MOST_CHARS else _problem(text)
    if problem:
        raise GuestError(
            f"{source}: the cluster's CAs and keys are not as expected; they were not used",
            details=problem,
            resolution="check /var/lib/rancher/k3s/server/tls there",
        )
    return text


def _problem(text: str) -> str:
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text, validate=True)), mode="r:") as archive:
            members = archive.getmembers()
    except (binascii.Error, ValueError, tarfile.TarError, EOFError) as error:
        return f"it is not a base64 tar ({type(error).__name__})"
    odd = [ascii(each.name)[:60] for each in members if not each.isreg() or each.size > _MOST_BYTES]
    names = [each.name for each in members]
    if odd:
        return f"{odd[0]} is not a plain file of at most {_MOST_BYTES} bytes"
    if sorted(names) != sorted(FILES):
        return f"it holds {len(names)} files, not exactly those of an identity"
    return ""

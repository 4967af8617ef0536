"""Host keys of Git hosts: those that are published, and those that a user gives. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from bootstrap.records.state.host_key import known_hosts_name

_ED25519: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"
_ECDSA: Final = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBB"
"""What all keys of a kind begin with."""
PUBLISHED: Final = {
    "github.com": (
        f"{_ED25519}OMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
        f"{_ECDSA}EmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=",
    ),
    "gitlab.com": (
        f"{_ED25519}AfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf",
        f"{_ECDSA}FSMqzJeV9rUzU4kWitGjeR4PWSa29SPqJ1fVkhtj3Hw9xjLVXVYrU9QlYWrOLXBpQ6KWjbjTDTdDkoohFzgbEY=",
    ),
    "codeberg.org": (
        f"{_ED25519}IVIC02vnjFyL+I4RHfvIGNtOgJMe769VTF1VR4EB3ZB",
        f"{_ECDSA}L2pDxWr18SoiDJCGZ5LmxPygTlPu+cCKSkpqkvCyQzl5xmIMeKNdfdBpfbCGDPoZQghePzFZkKJNR/v9Win3Sc=",
    ),
}
"""As the hosts publish them, by port 22: docs.github.com, "GitHub's SSH key fingerprints"; docs.gitlab.com, "GitLab.com
settings"; docs.codeberg.org, "Verifying you're connected to Codeberg using SSH fingerprints", and its Imprint. A test
compares their fingerprints with those of these pages. RSA keys are left out: nobody needs a third one."""
_KINDS: Final = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
)  # fmt: skip
_HASHED: Final = "|1|"


def known_name(url: str) -> str:
    """What an SSH URL's host is called in known_hosts: `host`, or `[host]:port`."""
    parts = urlsplit(url)
    return known_hosts_name(parts.hostname or "", parts.port or 22)


def published_keys(url: str) -> str:
    """Lines for a host whose keys are known here; empty for others."""
    name = known_name(url)
    return "".join(f"{name} {key}\n" for key in PUBLISHED.get(name, ()))


def keys_for(url: str, text: str) -> str:
    """The lines of a known_hosts file that are for a URL's host, under its plain name; empty where none is.

    The format is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; names may be hashed. Wildcards do not count.
    """
    name = known_name(url)
    return "".join(f"{name} {key}\n" for key in dict.fromkeys(_keys(name, text)))


def get_keys(url: str) -> str:
    """The command that shows a host's keys, into a file."""
    parts = urlsplit(url)
    port = f"-p {parts.port} " if parts.port not in (None, 22) else ""
    return f"ssh-keyscan {port}{parts.hostname} >git-host.keys"


def _keys(name: str, text: str) -> Iterator[str]:
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 3 and _is_named(name, fields[0]) and _is_key(fields[1], fields[2]):
            yield f"{fields[1]} {fields[2]}"


def _is_named(name: str, names: str) -> bool:
    if not names.startswith(_HASHED):
        return name.lower() in names.lower().split(",")
    salt, _, digest = names.removeprefix(_HASHED).partition("|")
    try:
        found = hmac.new(base64.b64decode(salt), name.lower().encode(), hashlib.sha1).digest()
        return hmac.compare_digest(found, base64.b64decode(digest))
    except ValueError:  # not base64
        return False


def _is_key(kind: str, blob: str) -> bool:
    """Whether it is a key of the kind that it says (RFC 4253, section 6.6: the blob begins with the kind)."""
    try:
        data = base64.b64decode(blob, validate=True)
    except ValueError:  # not base64
        return False
    return kind in _KINDS and data.startswith(len(kind).to_bytes(4, "big") + kind.encode())

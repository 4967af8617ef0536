"""Names and checksum lists of k3s releases (facts read at k3s v1.36 and its release page)."""

from __future__ import annotations

import hashlib
import re
import time
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

from bootstrap.errors import ArtifactError
from bootstrap.k3s.versions import VERSION

ARCHES = ("amd64", "arm64")

_CHANNEL_TAG = re.compile(r".*/tag/([^/?#]+)/?$")
TICK_NS = 1_000_000_000
"""A file that changed less than this ago may change again within the same tick of the file system's clock."""


def checked_version(version: str) -> str:
    """The version itself. Raises ArtifactError unless it is `vX.Y.Z+k3sN`, or a pre-release's."""
    if not VERSION.fullmatch(version):
        raise ArtifactError(
            f"{version!r} is not a k3s version",
            resolution="write it as on the release page, with v and +k3sN: v1.33.3+k3s1",
        )
    return version


def binary_name(arch: str) -> str:
    """A release's file of the k3s binary. Raises ArtifactError for an architecture there are no machines of."""
    if arch not in ARCHES:
        raise ArtifactError(f"k3s is not available for {arch!r}", details=f"k3s supports {' and '.join(ARCHES)}")
    return "k3s" if arch == "amd64" else f"k3s-{arch}"


def list_name(arch: str) -> str:
    """A release's checksum list, one per architecture, images included."""
    return f"sha256sum-{arch}.txt"


def image_names(arch: str) -> tuple[str, ...]:
    """Air-gap image archives, the smallest first: k3s imports any of them, so one is enough."""
    return tuple(f"k3s-airgap-images-{arch}.tar{suffix}" for suffix in (".zst", ".gz", ""))


def file_url(releases_url: str, version: str, name: str) -> str:
    """Where a release's file is; the `+` of a version is written `%2B`."""
    return f"{releases_url.rstrip('/')}/download/{quote(version, safe='')}/{name}"


def version_in(location: str) -> str | None:
    """The version a channel's redirect names (`.../releases/tag/v1.33.3%2Bk3s1`), or None."""
    found = _CHANNEL_TAG.fullmatch(location)
    version = unquote(found.group(1)) if found else ""
    return version if VERSION.fullmatch(version) else None


def parse_sums(text: str) -> dict[str, str]:
    """A checksum list as file name to lower-case hex; other lines are ignored."""
    sums: dict[str, str] = {}
    for line in text.splitlines():
        digest, _, name = line.strip().partition(" ")
        if re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            # sha256sum writes a `*` before names of files it read as binary.
            sums[name.strip().removeprefix("*")] = digest.lower()
    return sums


def sha256_of(path: Path) -> str:
    """A file's checksum in lower-case hex; the file is read once in each state, which may be 300 MB. Raises OSError."""
    there = path.stat()
    if abs(time.time_ns() - there.st_ctime_ns) < TICK_NS:
        return _read_sha256(path)
    return _known_sha256(path, (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns))


@lru_cache(maxsize=32)
def _known_sha256(path: Path, _state: tuple[int, ...]) -> str:
    """The checksum of a file in a state: only the kernel sets its change time."""
    return _read_sha256(path)


def _read_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

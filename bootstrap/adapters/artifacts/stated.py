"""The version of a k3s binary, read from its bytes: it is not run, since it is not trusted yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bootstrap.k3s.versions import is_release

_MOST_BYTES = 1 << 29
"""k3s has about 80 MiB; the rest of a larger file is not read."""
_CHUNK = 1 << 22
_MARK = b"+k3s"
"""All versions have it and little else: searching for it takes half a second, for a version's pattern seven."""
_BEFORE = 128
_AFTER = 16

_VERSION = re.compile(rb"(?<![\w.+-])v\d{1,4}\.\d{1,4}\.\d{1,4}(?:-[a-z]{1,8}\.?\d{0,4})?\+k3s\d{1,4}(?![\w.+-])")
_LINKED = b"/pkg/version.Version="
"""What Go stores of a build: `-X github.com/k3s-io/k3s/pkg/version.Version=v1.36.3+k3s1` (k3s: scripts/version.sh and
scripts/build; observed in the binary of v1.36.3)."""


def stated_version(binary: Path) -> str | None:
    """The version that a binary was linked as, else the only one that it (or a script) contains; else None.

    Raises:
        OSError: It cannot be read.
    """
    named: set[str] = set()
    for around in _places(binary):
        for found in _VERSION.finditer(around):
            version = found[0].decode()
            if is_release(version):
                if around[: found.start()].endswith(_LINKED):
                    return version
                named.add(version)
    return next(iter(named)) if len(named) == 1 else None


def _places(binary: Path) -> Iterator[bytes]:
    """The bytes around each mark."""
    window = b""
    with binary.open("rb") as file:
        for _ in range(_MOST_BYTES // _CHUNK):
            chunk = file.read(_CHUNK)
            window += chunk
            # A mark near the end comes again in the next window, with the bytes after it.
            end = len(window) - _AFTER if chunk else len(window)
            at = window.find(_MARK, 0, end)
            while at >= 0:
                yield window[max(0, at - _BEFORE) : at + _AFTER]
                at = window.find(_MARK, at + 1, end)
            if not chunk:
                return
            window = window[-(_BEFORE + _AFTER + len(_MARK)) :]

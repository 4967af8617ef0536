"""Cases by Proxmox VE version: which of them a host is asked, and what it should answer.

A case may have `since` and `before` ("9.0": from there on, not from there on), and `versions`: what else, or otherwise,
is expected by versions that are at least so new. The newest that fits counts, and is laid over the case:

    status: 500                  # of every version
    reason: VM {vm} not running
    versions:
      "9.0": {reason: VM {vm} is not running}

What was recorded on 8.4.21 and on 9.2.11 stands for the versions before and after 9.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Case = Mapping[str, Any]
Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """`9.2.11` and `9.2.11-1` as numbers that can be compared."""
    return tuple(int(part) for part in text.partition("-")[0].split("."))


def is_asked(case: Case, version: Version) -> bool:
    """Whether hosts of this version are asked the case."""
    since, before = case.get("since"), case.get("before")
    return (since is None or version >= parse_version(since)) and (before is None or version < parse_version(before))


def for_version(case: Case, version: Version) -> Case:
    """The case as a host of this version should meet it."""
    fitting = [text for text in case.get("versions", {}) if version >= parse_version(text)]
    if not fitting:
        return case
    return {**case, **case["versions"][max(fitting, key=parse_version)]}

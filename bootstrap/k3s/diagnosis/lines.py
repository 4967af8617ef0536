"""Reads single lines of k3s's journal, which come in three formats: logrus, klog and etcd's JSON. Pure.

k3s is many programs in one process. Seen on v1.36.3: its own messages are logrus (`time="..." level=info msg="..."`),
Kubernetes' are klog (`E1128 20:03:18.731746    3218 server.go:209] ...`), etcd's are JSON objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad a line is in the words of its writer."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    FATAL = 3


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of k3s.

    Attributes:
        text: What it says, with its `error` field, without time, level and place in the source.
        raw: The whole line.
    """

    severity: Severity
    text: str
    raw: str


_PREFIX = re.compile(r"^(?:\w{3} +\d+ \S+ \S+ )?k3s\[\d+\]: ")
_LOGRUS = re.compile(r'^(?:time=(?:"[^"]*"|\S+) )?level=(\w+) msg=("(?:[^"\\]|\\.)*(?:"|$)|\S*)(.*)$')
_LOGRUS_ERROR = re.compile(r'(?:^| )error=("(?:[^"\\]|\\.)*"|\S+)')
_KLOG = re.compile(r"^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+:\d+\] (.*)$")
_LEVELS = {
    "I": Severity.INFO, "W": Severity.WARNING, "E": Severity.ERROR, "F": Severity.FATAL,
    "warn": Severity.WARNING, "warning": Severity.WARNING, "error": Severity.ERROR, "dpanic": Severity.FATAL,
    "fatal": Severity.FATAL, "panic": Severity.FATAL,
}  # fmt: skip
_OTHERS = re.compile(
    # systemd writes of the unit, and its start commands in its name; on VMs modprobe finds its modules.
    r"^(?:\S+\.service: |(?:Starting|Started|Stopping|Stopped|Failed to start) \S+\.service|modprobe: "
    r"|This usually indicates unclean termination|Flag --\S+ has been deprecated)"
)
_PLAIN = ((re.compile(r"^(?:panic|fatal error): "), Severity.FATAL), (re.compile(r"^Error: "), Severity.ERROR))


def parse_line(line: str) -> Entry | None:
    """A line as an entry; None for one that k3s has not written itself, or that is empty."""
    raw = _PREFIX.sub("", line.rstrip())
    if not raw or _OTHERS.match(raw):
        return None
    return _logrus(raw) or _klog(raw) or _etcd(raw) or _plain(raw)


def parse_entries(lines: Iterable[str]) -> tuple[Entry, ...]:
    """All entries among lines, in order."""
    return tuple(entry for entry in map(parse_line, lines) if entry is not None)


def _logrus(raw: str) -> Entry | None:
    found = _LOGRUS.match(raw)
    if found is None:
        return None
    level, message, rest = found.groups()
    error = _LOGRUS_ERROR.search(rest)
    text = _unquoted(message) + (f": {_unquoted(error[1])}" if error else "")
    return Entry(severity=_LEVELS.get(level, Severity.INFO), text=text, raw=raw)


def _klog(raw: str) -> Entry | None:
    found = _KLOG.match(raw)
    return Entry(severity=_LEVELS[found[1]], text=found[2].replace('\\"', '"'), raw=raw) if found else None


def _etcd(raw: str) -> Entry | None:
    if not raw.startswith("{"):
        return None
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or "msg" not in told:
        return None
    text = ": ".join(str(told[key]) for key in ("msg", "error") if told.get(key))
    return Entry(severity=_LEVELS.get(str(told.get("level")), Severity.INFO), text=text, raw=raw)


def _plain(raw: str) -> Entry:
    severity = next((severity for pattern, severity in _PLAIN if pattern.match(raw)), Severity.INFO)
    return Entry(severity=severity, text=raw, raw=raw)


def _unquoted(value: str) -> str:
    """A logrus value without its quotes, on one line."""
    # journald cuts long lines, and with them the last quote.
    inner = value.removeprefix('"').removesuffix('"') if value.startswith('"') else value
    return re.sub(r"\\(.)", lambda found: " " if found[1] in "nt" else found[1], inner)

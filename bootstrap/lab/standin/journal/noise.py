"""The log lines of a normal start: k3s writes hundreds, in the formats of k3s, Kubernetes and etcd. In a table
`=LEVEL text` is a line of k3s's own logger, `I PLACE text` (or W, E) of Kubernetes', `{LEVEL PLACE text` of etcd's,
which is JSON, and `- text` a plain one. The texts are shortened; lines at level error are so on every normal start of
k3s v1.36.3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from .. import process
from ..logs import klog_line, log_line, stamp

Tell = Callable[[str], None]


def lines_of(table: str) -> list[str]:
    return [line.strip() for line in table.strip().splitlines()]


def render(line: str, facts: Mapping[str, str]) -> str:
    """A line of a table in its journal format; facts replace `<name>`."""
    for name, value in facts.items():
        line = line.replace(f"<{name}>", value)
    kind, _, rest = line.partition(" ")
    if kind[0] == "=":
        return log_line(kind[1:], rest)
    if kind[0] == "{":
        place, _, text = rest.partition(" ")
        member = {"local-member-id": facts["member"]} if "member" in facts else {}
        told = {"level": kind[1:], "ts": stamp(micro=True), "caller": place, "msg": text, **member}
        return json.dumps(told, separators=(",", ":"))
    if kind in ("I", "W", "E"):
        place, _, text = rest.partition(" ")
        return klog_line(kind, place, text)
    return rest


def make_noise(table: Iterable[str], facts: Mapping[str, str] | None = None, tell: Tell | None = None) -> None:
    """Write a table's lines to the log."""
    for line in table:
        (tell or process.LIFE.tell)(render(line, facts or {}))

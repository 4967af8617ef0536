"""metadata.managedFields: who set which fields, by which operation."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from ...logs import stamp
from ...shapes import Obj
from .paths import NONE, Path, Paths, from_fields, to_fields

MOST_UPDATERS = 10
"""More entries of updates are merged, the oldest first (apimachinery, capmanagers.go)."""
ANCIENT, BEFORE_APPLY = "ancient-changes", "before-first-apply"
_OWN = ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
        "resourceVersion")  # fmt: skip
STRIPPED: frozenset[Path] = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{name}") for name in _OWN)]
)
"""Fields that nobody manages (apimachinery, stripmeta.go)."""


class Manager(NamedTuple):
    """Who manages fields. An applier is the same whatever version it applies."""

    name: str
    operation: str
    version: str
    subresource: str = ""

    @property
    def applies(self) -> bool:
        return self.operation == "Apply"

    def same(self, other: Manager) -> bool:
        return self == (other._replace(version=self.version) if self.applies else other)

    def shown(self) -> str:
        """As a conflict names it."""
        text = f'"{self.name}"' + (f' with subresource "{self.subresource}"' if self.subresource else "")
        return text if self.applies else f"{text} using {self.version}"


class Share(NamedTuple):
    """What one manager has."""

    paths: Paths
    time: str = ""


Shares = dict[Manager, Share]


def shares_of(obj: Obj) -> Shares:
    """The managers of an object, read from it; nothing if they cannot be read."""
    found: Shares = {}
    try:
        for entry in obj.get("metadata", {}).get("managedFields") or []:
            if entry["operation"] not in ("Apply", "Update") or entry["fieldsType"] != "FieldsV1":
                return {}
            who = Manager(
                entry.get("manager", ""), entry["operation"], entry["apiVersion"], entry.get("subresource", "")
            )
            found[who] = Share(from_fields(entry.get("fieldsV1") or {}), entry.get("time", ""))
    except (KeyError, TypeError, AttributeError):
        return {}
    return found


def written(shares: Shares) -> list[Obj]:
    """The entries of managedFields, in Kubernetes' order."""
    entries = []
    for who, share in sorted(shares.items(), key=lambda each: (each[0].operation, each[1].time, each[0])):
        entry: Obj = {"manager": who.name, "operation": who.operation, "apiVersion": who.version}
        entry |= {"time": share.time} if share.time else {}
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": to_fields(share.paths)}
        entries.append(entry | ({"subresource": who.subresource} if who.subresource else {}))
    return entries


def find(shares: Shares, who: Manager) -> Manager | None:
    """The key under which a manager is known."""
    return next((known for known in shares if known.same(who)), None)


def take(shares: Shares, who: Manager, paths: Paths) -> Shares:
    """The shares in which one manager has these fields, too if it had others."""
    known = find(shares, who)
    more = shares[known].paths if known else NONE
    kept = {each: share for each, share in shares.items() if each != known}
    return kept | {who: Share(more | paths, stamp())}


def capped(shares: Shares) -> Shares:
    """At most ten entries of updates: the oldest are merged into one for each version."""
    updaters = sorted((each for each in shares if not each.applies), key=lambda each: (shares[each].time, each))
    result, first, count = dict(shares), dict[str, Manager](), len(updaters)
    for who in updaters:
        if count <= MOST_UPDATERS:
            break
        if who.version not in first:
            first[who.version] = who
            continue
        bucket = Manager(ANCIENT, "Update", who.version)
        if bucket not in result:
            result[bucket] = result.pop(first[who.version])
        own = result.pop(who)
        result[bucket] = Share(result[bucket].paths | own.paths, own.time)
        count -= 1
    return result


def name_of_agent(agent: str) -> str:
    """The manager that a User-Agent stands for (apiserver, prefixFromUserAgent)."""
    name = agent.split("/", 1)[0]
    return "".join(char for char in name if not unicodedata.category(char).startswith(("C", "Z")) or char == " ")[:128]

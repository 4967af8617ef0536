"""Watches."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ... import process
from ...datastore.store import Entry, Store
from ...failures import ApiError
from ...shapes import Obj
from ..resources import Target, whole
from .selecting import selected


class Watch:
    """One watch of the objects that a path and its query select."""

    def __init__(self, store: Store, target: Target, query: dict[str, str]) -> None:
        self._store, self._target, self._query = store, target, query
        since, asked = query.get("resourceVersion", ""), query.get("sendInitialEvents")
        self._initial = asked == "true" or (since in ("", "0") and asked != "false")
        self._rev = int(since or 0)

    def events(self, deadline: float) -> Iterator[Obj | None]:
        """Events as they occur, None after a while without any. Ends at the deadline (monotonic)."""
        if self._initial:
            yield from self._present()
        elif self._rev < self._store.floor:
            error = ApiError(410, "Expired", f"too old resource version: {self._rev} ({self._store.floor})")
            yield {"type": "ERROR", "object": error.status()}
            return
        while (left_s := deadline - time.monotonic()) > 0 and not process.LIFE.ended():
            batch = self._wait(min(5, left_s))
            yield from [event for entry in batch if (event := self._event_of(entry))]
            if not batch:
                yield self._bookmark() if self._query.get("allowWatchBookmarks") == "true" else None

    def _present(self) -> Iterator[Obj]:
        """The existing objects, and a bookmark after them if requested."""
        resource = self._target.resource
        with self._store.changed:
            self._rev = self._store.rev
            objects = [o for o in self._store.all(resource.key, self._target.ns) if selected(o, self._query)]
        for obj in objects:
            yield {"type": "ADDED", "object": whole(resource, obj)}
        if self._query.get("sendInitialEvents") == "true":
            yield self._bookmark({"annotations": {"k8s.io/initial-events-end": "true"}})

    def _wait(self, timeout_s: float) -> list[Entry]:
        """What has changed since the last call; empty after the timeout."""
        with self._store.changed:
            if self._store.rev <= self._rev:
                self._store.changed.wait(timeout_s)
            batch = [entry for entry in self._store.history if entry[0] > self._rev]
            self._rev = max(self._rev, self._store.rev)
        return batch

    def _event_of(self, entry: Entry) -> Obj | None:
        """A change as this watch sees it: an object that no longer matches counts as deleted."""
        rev, plural, old, new = entry
        sample, target = new or old, self._target
        if plural != target.resource.key or sample is None:
            return None
        if target.ns not in ("", sample["metadata"].get("namespace", "")):
            return None
        before, after = selected(old, self._query), selected(new, self._query)
        if not before and not after:
            return None
        obj = whole(target.resource, sample)
        if not after:
            return {"type": "DELETED", "object": {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(rev)}}}
        return {"type": "MODIFIED" if before else "ADDED", "object": obj}

    def _bookmark(self, notes: Obj | None = None) -> Obj:
        resource = self._target.resource
        meta = {"resourceVersion": str(self._rev), "creationTimestamp": None, **(notes or {})}
        obj = {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": meta}
        return {"type": "BOOKMARK", "object": obj}

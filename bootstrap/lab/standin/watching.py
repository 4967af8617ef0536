"""Watches."""

from __future__ import annotations

import time
from collections.abc import Iterator

from . import process
from .failures import ApiError
from .resources import Resource, Target, whole
from .selecting import selected
from .shapes import Obj
from .store import Store


def events(store: Store, target: Target, query: dict[str, str], deadline: float) -> Iterator[Obj | None]:
    """A watch: events as they come, None whenever nothing came for a while. Ends at the deadline (monotonic)."""
    resource = target.resource
    since = query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents") == "true" or (
        since in ("", "0") and query.get("sendInitialEvents") != "false"
    )
    with store.changed:
        rev = store.rev if initial else int(since or 0)
        present = [o for o in store.all(resource.plural, target.ns) if selected(o, query)] if initial else []
        expired = not initial and rev < store.floor
    if expired:
        error = ApiError(410, "Expired", f"too old resource version: {rev} ({store.floor})")
        yield {"type": "ERROR", "object": error.status()}
        return
    yield from ({"type": "ADDED", "object": whole(resource, obj)} for obj in present)
    if query.get("sendInitialEvents") == "true":
        yield bookmark(resource, rev, {"k8s.io/initial-events-end": "true"})
    while (left_s := deadline - time.monotonic()) > 0:
        with store.changed:
            if process.LIFE.ended():
                return
            if store.rev <= rev:
                store.changed.wait(min(5, left_s))
            batch = [entry for entry in store.history if entry[0] > rev]
            rev = max(rev, store.rev)
        found = [event for entry in batch if (event := event_of(target, query, entry))]
        yield from found
        if not batch:
            yield bookmark(resource, rev) if query.get("allowWatchBookmarks") == "true" else None


def event_of(target: Target, query: dict[str, str], entry: tuple[int, str, Obj | None, Obj | None]) -> Obj | None:
    rev, plural, old, new = entry
    sample = new or old
    if plural != target.resource.plural or sample is None:
        return None
    if target.ns not in ("", sample["metadata"].get("namespace", "")):
        return None
    before, after = selected(old, query), selected(new, query)
    if not before and not after:
        return None
    obj = whole(target.resource, sample)
    if not after:
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(rev)}}
    return {"type": "DELETED" if not after else "MODIFIED" if before else "ADDED", "object": obj}


def bookmark(resource: Resource, rev: int, annotations: dict[str, str] | None = None) -> Obj:
    meta: Obj = {"resourceVersion": str(rev), "creationTimestamp": None}
    meta |= {"annotations": annotations} if annotations else {}
    obj = {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": meta}
    return {"type": "BOOKMARK", "object": obj}

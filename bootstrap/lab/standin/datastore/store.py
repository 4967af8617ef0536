"""The store of objects."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from pathlib import Path

from .. import process
from ..shapes import Change, Edit, Key, Obj

Entry = tuple[int, str, Obj | None, Obj | None]
"""A change in the history: its revision, the plural, the object before and after it."""


class Store:
    """Objects by (plural, namespace, name): in memory, on disk in SQLite, with a history for watches.

    Objects in it are never changed in place; only `put` writes.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS object(plural, ns, name, value, PRIMARY KEY(plural, ns, name))")
        self._db.execute("CREATE TABLE IF NOT EXISTS meta(name PRIMARY KEY, value)")
        rows = self._db.execute("SELECT plural, ns, name, value FROM object")
        self.objects: dict[Key, Obj] = {(p, ns, n): json.loads(value) for p, ns, n, value in rows}
        meta = dict(self._db.execute("SELECT name, value FROM meta"))
        self.rev = int(meta.get("rev", 0))
        self.term = int(meta.get("term", 0))
        self.changed = threading.Condition()
        self.history: deque[Entry] = deque(maxlen=2000)
        self.floor = self.rev  # watches cannot begin before this revision
        self.touched: dict[str, int] = {}  # the last revision at which an object of this kind changed
        process.LIFE.opened(self)

    def put(self, changes: list[Change], rev: int, term: int) -> None:
        """Apply committed changes."""
        with self.changed:
            self._db.execute("BEGIN")
            for plural, ns, name, new, change_rev in changes:
                old = self.objects.pop((plural, ns, name), None)
                if new is None:
                    self._db.execute("DELETE FROM object WHERE plural=? AND ns=? AND name=?", (plural, ns, name))
                else:
                    self.objects[plural, ns, name] = new
                    row = (plural, ns, name, json.dumps(new))
                    self._db.execute("INSERT OR REPLACE INTO object VALUES (?,?,?,?)", row)
                if len(self.history) == self.history.maxlen:
                    self.floor = self.history[0][0]
                self.history.append((change_rev, plural, old, new))
                self.touched[plural] = change_rev
            self.rev, self.term = rev, term
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('rev', ?), ('term', ?)", (rev, term))
            self._db.execute("COMMIT")
            self.changed.notify_all()

    def note(self, name: str, value: str | None = None) -> str:
        """Read or write a note about the data; notes are not replicated."""
        with self.changed:
            if value is not None:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
            return str(dict(self._db.execute("SELECT name, value FROM meta")).get(name, ""))

    def close(self) -> None:
        with self.changed:
            self._db.close()

    def get(self, plural: str, ns: str, name: str) -> Obj | None:
        return self.objects.get((plural, ns, name))

    def all(self, plural: str, ns: str = "") -> list[Obj]:
        with self.changed:
            items = [(k, o) for k, o in self.objects.items() if k[0] == plural and ns in ("", k[1])]
        return [obj for _, obj in sorted(items, key=lambda item: item[0])]

    def snapshot(self) -> Obj:
        with self.changed:
            rows = [[*key, obj] for key, obj in self.objects.items()]
            return {"rev": self.rev, "term": self.term, "objects": rows}

    def load(self, snapshot: Obj) -> None:
        """Load a snapshot; watches see the differences as changes."""
        wanted: dict[Key, Obj] = {(p, ns, n): obj for p, ns, n, obj in snapshot["objects"]}
        rev = int(snapshot["rev"])
        gone: list[Change] = [(*key, None, rev) for key in self.objects if key not in wanted]
        new: list[Change] = [(*key, obj, rev) for key, obj in wanted.items() if self.objects.get(key) != obj]
        self.put(gone + new, rev, int(snapshot["term"]))


def number(edits: list[Edit], rev: int) -> list[Change]:
    """Give each edit the next revision, also inside the object."""
    changes: list[Change] = []
    for at, (plural, ns, name, obj) in enumerate(edits, rev + 1):
        if obj is not None and "metadata" in obj:
            obj["metadata"]["resourceVersion"] = str(at)
        changes.append((plural, ns, name, obj, at))
    return changes

"""The datastore of one server alone."""

from __future__ import annotations

import threading

from ..failures import ApiError
from ..shapes import Edit, Obj, Reply
from .store import Store, number


class Solo:
    """The datastore of one server alone: SQLite, always the leader."""

    kind = "sqlite"

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lock = threading.RLock()
        self.is_leader = True

    def commit(self, edits: list[Edit]) -> None:
        self.store.put(number(edits, self.store.rev), self.store.rev + len(edits), self.store.term)

    def forward(self, op: Obj) -> Reply:
        raise AssertionError(f"a lone server leads: {op}")

    def members(self) -> list[Obj]:
        return []

    def member_add(self, body: Obj) -> Reply:
        raise ApiError(400, "BadRequest", f"{body.get('name')} cannot join: this server's datastore is not etcd")

    def member_removal(self, machine: str) -> list[Edit]:
        return []

    def has_living(self, machine: str) -> bool:
        return False

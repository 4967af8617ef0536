"""The step that applies manifests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap.errors import some_of
from bootstrap.manifests.values import Change, ObjectChange, ObjectId
from bootstrap.model.words import count
from bootstrap.planning.base_step import BaseStep

_SHOWN = 3
_SHOWN_CHANGES = (Change.CREATE, Change.CHANGE, Change.PRUNE)


@dataclass(frozen=True, kw_only=True)
class ApplyManifests(BaseStep, phase="manifests"):
    """Apply the objects of the inventory's manifests in waves, wait for them, and prune those that are not in it.

    Attributes:
        total: How many objects the list has.
        changes: How they were seen to differ; empty where there was no cluster yet.
        force: Whether fields are taken over that others manage.
        confirmed: Objects that are pruned though data is lost with them.
    """

    total: int
    changes: tuple[ObjectChange, ...] = ()
    force: bool = False
    confirmed: tuple[ObjectId, ...] = ()

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        parts = [_part(kind, [each.id for each in self.changes if self._does(each, kind)]) for kind in _SHOWN_CHANGES]
        shown = "; ".join(filter(None, parts))
        return shown or f"apply {count(self.total, 'object')}"

    def _does(self, change: ObjectChange, kind: Change) -> bool:
        return change.change is kind and (not change.loses_data or change.id in self.confirmed)


def _part(kind: Change, ids: Sequence[ObjectId]) -> str:
    return f"{kind} {some_of(ids, _SHOWN)}" if ids else ""

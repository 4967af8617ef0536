"""Server-side apply and the tracking of all other writes, as structured-merge-diff and apimachinery's managedfields do.

Checked against merge/update.go of sigs.k8s.io/structured-merge-diff v6 and the wrappers in
apimachinery/pkg/util/managedfields/internal of Kubernetes v1.36.
"""

from __future__ import annotations

import copy
import json
from functools import reduce

from ...failures import ApiError
from ...logs import stamp
from ...shapes import Obj
from ..types.filling import filled, without_nulls, zero
from ..types.types import Type
from .managers import BEFORE_APPLY, STRIPPED, Manager, Share, Shares, capped, find, shares_of, take, written
from .merging import merged, removed
from .paths import NONE, Path, Paths, in_order, shown, tree_of, with_named, without_below
from .walking import Difference, owned, type_problems

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class ConflictsError(Exception):
    """Fields that others manage."""

    def __init__(self, found: dict[Manager, Paths]) -> None:
        super().__init__()
        self.found = {who: list(in_order(tree_of(found[who]))) for who in sorted(found)}

    def answer(self) -> ApiError:
        """As the API answers it."""
        pairs = [(who, path) for who, paths in self.found.items() for path in paths]
        causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {who.shown()}", "field": shown(path)}
                  for who, path in pairs]  # fmt: skip
        if len(pairs) == 1:
            text = f"1 conflict: conflict with {pairs[0][0].shown()}: {shown(pairs[0][1])}"
        else:
            lines = []
            for who, paths in self.found.items():
                lines += [f"conflicts with {who.shown()}:", *(f"- {shown(path)}" for path in paths)]
            text = f"{len(pairs)} conflicts: " + "\n".join(lines)
        return ApiError(409, "Conflict", f"Apply failed with {text}", {"causes": causes})


class Tracked:
    """A kind whose fields have managers, for one resource or subresource.

    Args:
        kind: The type of its objects.
        version: Its group and version.
        group_kind: As messages name it: `apps/v1, Kind=Deployment`.
        reset: Fields that this endpoint never changes.
        subresource: "" for the resource itself.
    """

    def __init__(
        self, kind: Type, version: str, group_kind: str, reset: frozenset[Path] = NONE, subresource: str = ""
    ) -> None:
        self.kind, self.version, self.group_kind = kind, version, group_kind
        self.reset, self.subresource = reset, subresource

    def who(self, name: str, operation: str) -> Manager:
        return Manager(name or "unknown", operation, self.version, self.subresource)

    def full(self, obj: Obj) -> Obj:
        """The object as Go holds it, without its managers: structs that are not pointers are always there."""
        meta = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "managedFields"}
        return filled(self.kind, {**obj, "metadata": meta})

    def update(self, live: Obj | None, new: Obj, name: str) -> None:
        """Record in `new` what this write changes. Objects that nobody tracked stay without managers."""
        given = (new.get("metadata") or {}).get("managedFields")
        reset = given is not None and (not given or given == [{}])
        told = {} if self.subresource else shares_of(new)  # a subresource cannot set managers
        shares = {} if reset else told or (shares_of(live) if live else {})
        new["metadata"].pop("managedFields", None)
        if live is not None and not shares:
            return
        before = self.full(live) if live is not None else zero(self.kind)
        try:
            after = capped(self._updated(before, self.full(new), shares, self.who(name, "Update")))
        except ValueError:
            after = {}  # elements without keys: Kubernetes forgets the managers, and validation says what is wrong
        if after:
            new["metadata"]["managedFields"] = written(after)

    def _updated(self, before: Obj, after: Obj, shares: Shares, who: Manager) -> Shares:
        change = Difference(self.kind, before, after)
        changed = self._ours(frozenset(change.modified | change.added))
        kept = _without(shares, changed, self._ours(frozenset(change.removed)))
        mine = changed - STRIPPED
        return take(kept, who, mine) if mine else kept

    def _ours(self, paths: Paths) -> Paths:
        return without_below(paths, self.reset) if self.reset else paths

    def apply(self, live: Obj | None, config: Obj, name: str, *, force: bool) -> Obj:
        """The object after an apply, with its managers. Raises ApiError for conflicts and for fields of wrong types."""
        self._check(config)
        try:
            return self._applied(live, config, name, force=force)
        except ValueError as error:
            raise ApiError(500, "", f"failed to merge config: {error}") from error
        except ConflictsError as error:
            if name != "kubectl" or live is None:
                raise error.answer() from None
            allowed = self._last_applied(live)
            left = {who: frozenset(paths) - allowed for who, paths in error.found.items()}
            if any(left.values()):
                raise ConflictsError({who: paths for who, paths in left.items() if paths}).answer() from None
            return self._applied(live, config, name, force=True)

    def _check(self, config: Obj) -> None:
        if (config.get("metadata") or {}).get("managedFields") is not None:
            raise ApiError(400, "BadRequest", "metadata.managedFields must be nil")
        problems = type_problems(self.kind, config)
        if problems:
            meta = config.get("metadata") or {}
            where = f"{meta.get('namespace', '')}/{meta.get('name', '')}; {self.group_kind}"
            text = problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {line}" for line in problems)
            raise ApiError(500, "", f"failed to create typed patch object ({where}): {text}")

    def _applied(self, live: Obj | None, config: Obj, name: str, *, force: bool) -> Obj:
        before = self.full(live) if live is not None else zero(self.kind)
        shares = shares_of(live) if live is not None else {}
        if live is not None and not shares:
            shares = self._updated(zero(self.kind), before, {}, self.who(BEFORE_APPLY, "Update"))
        who = self.who(name, "Apply")
        known = find(shares, who)
        last = shares.pop(known) if known else Share(NONE)
        mine = self._ours(owned(self.kind, config))
        joined = merged(self.kind, before, config)
        new = self._pruned(joined, {**shares, who: Share(mine)}, last.paths) if last.paths else joined
        change = Difference(self.kind, before, new)  # with what pruning has left as null
        conflicts = {other: share.paths & self._ours(frozenset(change.modified | change.added))
                     for other, share in shares.items()}  # fmt: skip
        conflicts = {other: paths for other, paths in conflicts.items() if paths}
        if conflicts and not force:
            raise ConflictsError(conflicts)
        taken = frozenset(path for paths in conflicts.values() for path in paths)
        left = _without(shares, taken, self._ours(frozenset(change.removed)))
        same = not (change.modified or change.added or change.removed)
        mine -= STRIPPED
        if mine:
            left[who] = Share(mine, last.time if same else stamp())
        return self._finished(without_nulls(self.kind, new) or {}, config, name, left)

    def _finished(self, new: Obj, config: Obj, name: str, shares: Shares) -> Obj:
        meta = new.setdefault("metadata", {})
        if shares:
            meta["managedFields"] = written(shares)
        notes = meta.get("annotations") or {}
        if name == "kubectl" and notes.get(LAST_APPLIED):
            plain = copy.deepcopy(config)
            (plain.get("metadata", {}).get("annotations") or {}).pop(LAST_APPLIED, None)
            text = json.dumps(plain, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
            meta["annotations"] = {**notes, LAST_APPLIED: text}
        return new

    def _pruned(self, joined: Obj, shares: Shares, last: Paths) -> Obj:
        """Without what this manager had applied, applies no longer, and nobody else has."""
        kind, named = self.kind, with_named(self.kind, last)
        cut = removed(kind, joined, named) or {}
        everything = with_named(kind, owned(kind, joined))
        claimed = with_named(kind, reduce(lambda one, other: one | other.paths, shares.values(), NONE))
        back = everything - (with_named(kind, owned(kind, cut)) | claimed)
        cut = removed(kind, joined, back) or {}
        lost = (everything - with_named(kind, owned(kind, cut))) & named
        result: Obj = removed(kind, joined, lost) or {}
        return result

    def _last_applied(self, live: Obj) -> Paths:
        """The fields of the last client-side apply that still have its values: kubectl may take them over."""
        text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED, "")
        try:
            config = json.loads(text)
            if config["apiVersion"] != self.version:
                return NONE
            mine = owned(self.kind, config)
            change = Difference(self.kind, config, self.full(live))
        except (ValueError, KeyError, TypeError):
            return NONE
        return mine - change.modified - change.added - change.removed


def _without(shares: Shares, taken: Paths, gone: Paths) -> Shares:
    """What the managers keep: nothing that was taken from them or that no longer exists."""
    kept = {}
    for each, share in shares.items():
        paths = share.paths - taken - gone
        if paths:
            kept[each] = Share(paths, share.time)
    return kept

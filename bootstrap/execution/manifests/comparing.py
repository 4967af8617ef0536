"""Compares wanted objects with those of the cluster, by dry runs of server-side apply. Stores nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

from bootstrap.errors import KubernetesError
from bootstrap.manifests.applyset import (
    OWN_ID,
    PARENT_KIND,
    PARENT_NAME,
    PARENT_NAMESPACE,
    PART_OF,
    NotOursError,
    Scope,
    as_member,
    member_of,
    scope_of,
)
from bootstrap.manifests.difference import changes_of
from bootstrap.manifests.order import CRD, HELM_CHART, in_waves, loses_data, pruned_in_order
from bootstrap.manifests.readiness import not_synced
from bootstrap.manifests.secrets import with_data, without_secrets
from bootstrap.manifests.values import Change, GroupKind, Manifest, ManifestsSeen, Object, ObjectChange, ObjectId
from bootstrap.ports.manifests import Applied, Conflicting, KindFacts, KubeObjects, NotTaken

AT_ONCE: Final = 8
"""Requests at the same time."""
LATER: Final = "checked once its namespace or its kind exists"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An object to apply, and how the API serves its kind."""

    manifest: Manifest
    kind: KindFacts
    body: Object = field(repr=False)

    @property
    def id(self) -> ObjectId:
        """Which object."""
        return self.manifest.id_in(namespaced=self.kind.namespaced)

    def words(self, said: str) -> str:
        """What the API said of it, without the values of a Secret."""
        return without_secrets(without_secrets(said, self.manifest.body), self.body)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """An object after its dry run.

    Attributes:
        change: How it differs; None where it does not.
        exists: Whether the cluster has it.
        passing: It may be taken later.
        absent: Its namespace does not exist.
        same: Nothing at all would be stored.
    """

    wanted: Wanted
    change: ObjectChange | None
    exists: bool = True
    passing: bool = False
    absent: bool = False
    same: bool = False


def wanted_of(manifest: Manifest, api: KubeObjects) -> Wanted | None:
    """How an object is applied; None where its kind is not served."""
    group_kind = manifest.group_kind
    kind = api.kind(group_kind, manifest.api_version.rpartition("/")[2])
    if kind is None:
        return None
    body = with_data(manifest.body)
    body = body if manifest.stays else as_member(body)
    namespace = manifest.id_in(namespaced=kind.namespaced).namespace
    metadata = {key: value for key, value in body["metadata"].items() if key != "namespace"}
    return Wanted(
        manifest=manifest,
        kind=kind,
        body={**body, "metadata": {**metadata, "namespace": namespace} if namespace else metadata},
    )


def check(wanted: Wanted, api: KubeObjects, *, force: bool, live: Object | None = None) -> Checked:
    """A dry run of one object; `live` is the cluster's, where it is known."""
    identity, place = wanted.id, wanted.manifest.place
    if live is None:
        live = api.get(wanted.kind, identity.namespace, identity.name)
    set_id = member_of(live) if live is not None else ""
    if set_id and set_id != OWN_ID:
        said = f"it is in another ApplySet, {set_id}: another tool applies and prunes it"
        return Checked(wanted=wanted, change=ObjectChange(change=Change.REFUSED, id=identity, place=place, said=said))
    force = force or wanted.manifest.early
    answer = api.apply(wanted.kind, wanted.body, namespace=identity.namespace, dry_run=True, force=force)
    match answer:
        case Conflicting():
            change = ObjectChange(
                change=Change.CONFLICT, id=identity, place=place, owners=answer.owners, said=wanted.words(answer.said)
            )
            return Checked(wanted=wanted, change=change)
        case NotTaken():
            change = ObjectChange(change=Change.REFUSED, id=identity, place=place, said=wanted.words(answer.said))
            exists = live is not None
            return Checked(wanted=wanted, change=change, exists=exists, passing=answer.passing, absent=answer.absent)
        case Applied() if live is None:
            return Checked(wanted=wanted, change=ObjectChange(change=Change.CREATE, id=identity, place=place))
        case Applied():
            fields = changes_of(live, answer.body)
            changed = ObjectChange(change=Change.CHANGE, id=identity, place=place, fields=fields) if fields else None
            return Checked(wanted=wanted, change=changed, same=answer.body == live)


def check_all(
    wanted: Iterable[Wanted], api: KubeObjects, *, force: bool, members: dict[ObjectId, Object] | None = None
) -> tuple[Checked, ...]:
    """Dry runs of several objects, in their order."""
    known = members or {}

    def one(each: Wanted) -> Checked:
        live = known.get(each.id)
        # In another version of its kind it looks otherwise.
        fits = live is not None and live.get("apiVersion") == each.kind.api_version
        return check(each, api, force=force, live=live if fits else None)

    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="manifest") as pool:
        return tuple(pool.map(one, wanted))


def read_scope(api: KubeObjects) -> Scope:
    """Where members of our ApplySet may be.

    Raises:
        KubernetesError: Its parent object is another tool's.
    """
    facts = api.kind(PARENT_KIND, "v1")
    parent = api.get(facts, PARENT_NAMESPACE, PARENT_NAME) if facts is not None else None
    try:
        return scope_of(parent)
    except NotOursError as error:
        raise KubernetesError(
            f"ConfigMap {PARENT_NAMESPACE}/{PARENT_NAME}, which lists what was applied, is another tool's",
            details=str(error),
            resolution="if no other tool uses it, delete it; objects that it listed are not pruned then",
        ) from error


def members_of(scope: Scope, api: KubeObjects) -> dict[ObjectId, Object]:
    """The objects of our ApplySet that are in the cluster."""
    found: dict[ObjectId, Object] = {}
    for group_kind in sorted(scope.kinds):
        facts = api.kind(group_kind)
        for each in api.labelled(facts, {PART_OF: OWN_ID}) if facts is not None else ():
            identity = _id_of(each, group_kind)
            if _is_member(each) and (not identity.namespace or identity.namespace in scope.namespaces):
                found[identity] = each
    return found


def _is_member(found: Object) -> bool:
    """Whether it has the label, and was not made by a controller that copies labels."""
    owners = found["metadata"].get("ownerReferences") or []
    return member_of(found) == OWN_ID and not any(owner.get("controller") for owner in owners)


def _id_of(found: Object, kind: GroupKind) -> ObjectId:
    metadata = found["metadata"]
    namespace = str(metadata.get("namespace") or "")
    return ObjectId(group=kind.group, kind=kind.kind, namespace=namespace, name=str(metadata["name"]))


def compare(manifests: Sequence[Manifest], api: KubeObjects, *, force: bool = False) -> ManifestsSeen:
    """How the wanted objects differ from the cluster's, and which ones are to be pruned.

    Raises:
        KubernetesError: The API refuses to be asked; no object's own fault.
    """
    members = members_of(read_scope(api), api)
    changes: list[ObjectChange] = []
    known: set[ObjectId] = set()
    for wave in in_waves(manifests):
        ready = [(each, wanted_of(each, api)) for each in wave]
        wanted = [found for _, found in ready if found is not None]
        known |= {each.id for each in wanted}
        changes += [without_kind(each, manifests) for each, found in ready if found is None]
        for checked in check_all(wanted, api, force=force, members=members):
            if checked.change is not None:
                changes.append(_or_later(checked, checked.change, manifests))
    # Of a kind that is not served no member is found, so it does not matter how these would be called.
    gone = pruned_in_order(members.keys() - known)
    changes += [
        ObjectChange(change=Change.PRUNE, id=each, loses_data=loses_data(members[each], each.group_kind))
        for each in gone
    ]
    unsynced = [f"{each}: {why}" for each in sorted(known & members.keys()) if (why := not_synced(members[each]))]
    return ManifestsSeen(total=len(manifests), changes=tuple(changes), unsynced=tuple(unsynced))


def without_kind(manifest: Manifest, manifests: Iterable[Manifest]) -> ObjectChange:
    """An object whose kind the API does not serve: it may come with others of the list."""
    identity = manifest.id_in(namespaced=bool(manifest.namespace))
    if brings_kind(manifests, manifest.group_kind):
        return ObjectChange(change=Change.CREATE, id=identity, place=manifest.place, said=LATER, unchecked=True)
    said = f"Kubernetes has no kind {manifest.group_kind.kind} in {manifest.api_version}"
    return ObjectChange(change=Change.REFUSED, id=identity, place=manifest.place, said=said)


def brings_kind(manifests: Iterable[Manifest], kind: GroupKind) -> bool:
    """Whether a CustomResourceDefinition of the list defines a kind, or a chart of it might."""
    for each in manifests:
        if each.group_kind == HELM_CHART:
            return True
        spec = each.body.get("spec") if each.group_kind == CRD else None
        if isinstance(spec, dict) and spec.get("group") == kind.group:
            names = spec.get("names")
            if isinstance(names, dict) and names.get("kind") == kind.kind:
                return True
    return False


def _or_later(checked: Checked, change: ObjectChange, manifests: Iterable[Manifest]) -> ObjectChange:
    """A refusal is none where the namespace is yet to be created, or a webhook does not answer yet."""
    namespace = change.id.namespace
    comes = any(each.group_kind == GroupKind("", "Namespace") and each.name == namespace for each in manifests)
    if change.change is Change.REFUSED and checked.absent and comes:
        return ObjectChange(change=Change.CREATE, id=change.id, place=change.place, said=LATER, unchecked=True)
    if checked.passing:
        kind = Change.CHANGE if checked.exists else Change.CREATE
        return replace(change, change=kind, unchecked=True)
    return change

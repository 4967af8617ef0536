"""The storages that building a template takes: for the image, for the ISO and for the disk. Pure.

No storage of a stock Proxmox VE has the content `import`, and only storages of files can have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import StorageName
from bootstrap.model.observed import PveNodeFacts, PveVersion, StorageFacts

_OF_FILES = frozenset({"btrfs", "cephfs", "cifs", "dir", "nfs"})
"""Kinds whose plugins know `import` and `iso` (pve-storage: plugindata of src/PVE/Storage/*Plugin.pm)."""
_OF_DISKS = (_OF_FILES - {"cephfs"}) | {"lvm", "lvmthin", "rbd", "zfs", "zfspool"}
_KINDS: Mapping[str, frozenset[str]] = {"images": _OF_DISKS, "import": _OF_FILES, "iso": _OF_FILES}
_STOCK = StorageName("local")
_IMPORT_SINCE = (8, 4)
"""Since then images of disks are downloaded into import content; 8.3 took OVAs alone."""


def check_build_storages(
    spec: ClusterSpec,
    pve_nodes: Iterable[PveNodeFacts],
    contents: Sequence[tuple[str, StorageName | None]],
    *,
    version: PveVersion,
) -> None:
    """Refuse to build where a storage for one of the content types is missing.

    Raises:
        PreflightError: With one `pvesm set` line for each storage that can take what is missing.
    """
    briefs: dict[str, None] = {}
    details: dict[str, None] = {}
    added: dict[StorageName, tuple[StorageFacts, set[str]]] = {}
    for facts in pve_nodes:
        for content, wanted in contents:
            if _choose(spec, facts, content, wanted) is not None:
                continue
            briefs[_brief(facts, content, wanted)] = None
            for one in facts.storages:
                details[f"{one.name} of {facts.name}: {_told(one)}"] = None
            storage = _candidate(facts, content, wanted)
            if storage is not None:
                added.setdefault(storage.name, (storage, set()))[1].add(content)
    if not briefs:
        return
    if any("import" in brief for brief in briefs) and (version.major, version.minor) < _IMPORT_SINCE:
        resolution = (
            f"Proxmox VE {version.text} cannot download disk images (8.4 can): upgrade it, or create a template by "
            "hand (docs/templates.md)"
        )
    else:
        resolution = _resolution(added)
    raise PreflightError("; ".join(briefs), details="\n".join(details), resolution=resolution)


def choose_storage(spec: ClusterSpec, facts: PveNodeFacts, content: str, wanted: StorageName | None) -> StorageName:
    """A storage of a Proxmox node for a kind of content: the one asked for, the inventory's, or the roomiest.

    Raises:
        PreflightError: There is none.
    """
    found = _choose(spec, facts, content, wanted)
    if found is None:
        raise PreflightError(_brief(facts, content, wanted), details="\n".join(map(_told, facts.storages)))
    return found


def _choose(spec: ClusterSpec, facts: PveNodeFacts, content: str, wanted: StorageName | None) -> StorageName | None:
    fits = {one.name: one for one in facts.storages if one.active and content in one.content}
    if wanted is not None:
        return wanted if wanted in fits else None
    if content == "images" and spec.placement.storage in fits:
        return fits[spec.placement.storage].name
    roomiest = max(fits.values(), key=lambda one: (one.free_gib, one.name), default=None)
    return roomiest.name if roomiest is not None else None


def _candidate(facts: PveNodeFacts, content: str, wanted: StorageName | None) -> StorageFacts | None:
    """The storage that can be given a kind of content: `local`, as Proxmox VE names its own, before others."""
    able = [
        one
        for one in facts.storages
        if one.active and one.kind in _KINDS[content] and (wanted is None or one.name == wanted)
    ]
    return max(able, key=lambda one: (one.name == _STOCK, one.free_gib, one.name), default=None)


def _brief(facts: PveNodeFacts, content: str, wanted: StorageName | None) -> str:
    if wanted is not None:
        return f"storage {wanted} of {facts.name} does not take {content} content"
    return f"no storage of {facts.name} takes {content} content"


def _told(storage: StorageFacts) -> str:
    contents = ", ".join(sorted(storage.content)) or "nothing"
    return f"{storage.kind}, {contents}{'' if storage.active else ', not active'}"


def _resolution(added: Mapping[StorageName, tuple[StorageFacts, set[str]]]) -> str:
    if not added:
        return (
            "no storage that this token sees there supports it: file storages do (dir, nfs, cifs, cephfs, btrfs), "
            "and Datastore.AllocateSpace on one lets the token see it"
        )
    lines = []
    for name, (storage, missing) in sorted(added.items()):
        kept = sorted(storage.content - {"none"})
        lines.append(f"pvesm set {name} --content {','.join([*kept, *sorted(missing)])}")
    return "\n".join(["as root on a Proxmox node:", *lines])

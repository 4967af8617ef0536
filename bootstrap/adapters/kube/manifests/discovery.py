"""Which kinds an API serves, and how (`/api/v1`, `/apis/GROUP/VERSION`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from bootstrap.adapters.kube.http import KubeHttp
from bootstrap.adapters.kube.objects import kube_object, note
from bootstrap.manifests.values import GroupKind
from bootstrap.model.reading import Reading, each
from bootstrap.ports.manifests import KindFacts

_NOT_FOUND = 404


class Discovery:
    """The kinds that one API serves. What is not served is asked for again: a CRD may have come.

    Safe for many threads.
    """

    def __init__(self, http: KubeHttp) -> None:
        self._http = http
        self._lock = threading.Lock()
        self._known: dict[str, tuple[KindFacts, ...]] = {}

    def find(self, kind: GroupKind, version: str) -> KindFacts | None:
        """How a kind is served in a version, or in the group's preferred one that has it; None where it is not."""
        for each_version in (version,) if version else self._versions(kind.group):
            group_version = f"{kind.group}/{each_version}" if kind.group else each_version
            found = self._find(kind, group_version)
            if found is not None:
                return found
        return None

    def _find(self, kind: GroupKind, group_version: str) -> KindFacts | None:
        with self._lock:
            known = self._known.get(group_version, ())
        found = next((facts for facts in known if facts.kind == kind), None)
        if found is not None:
            return found
        served = tuple(self._served(kind.group, group_version))
        with self._lock:
            self._known[group_version] = served
        return next((facts for facts in served if facts.kind == kind), None)

    def _served(self, group: str, group_version: str) -> Iterator[KindFacts]:
        listed = self._look(f"{'apis' if group else 'api'}/{group_version}", "list the kinds")
        if listed is None:
            return
        version = group_version.rpartition("/")[2]
        for facts in each(listed.at("resources").items(optional=True), lambda row: _row(row, group, version), note):
            if facts is not None:
                yield facts

    def _versions(self, group: str) -> list[str]:
        """The versions of a group, the preferred one first."""
        if not group:
            return ["v1"]
        found = self._look(f"apis/{group}", "list the versions of a group")
        if found is None:
            return []
        preferred = found.at("preferredVersion").at("version").text("")
        listed = [row.at("version").text("") for row in found.at("versions").items(optional=True)]
        return [name for name in dict.fromkeys((preferred, *listed)) if name]

    def _look(self, path: str, what: str) -> Reading | None:
        answer = self._http.ask(self._http.client.get, f"/{path}", accepted=frozenset({_NOT_FOUND}))
        return None if answer.status == _NOT_FOUND else kube_object(answer.object, what=what)


def _row(row: Reading, group: str, version: str) -> KindFacts | None:
    """A kind; None for a row that is a subresource, or cannot be patched."""
    name = row.at("name").text()
    verbs = [verb.text("") for verb in row.at("verbs").items(optional=True)]
    if "/" in name or "patch" not in verbs:
        return None
    kind = GroupKind(group, row.at("kind").text())
    return KindFacts(kind=kind, version=version, plural=name, namespaced=row.at("namespaced").flag())

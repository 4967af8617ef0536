"""`bootstrap.ports.KubeObjects` over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from bootstrap.adapters.kube.answers import Answer
from bootstrap.adapters.kube.http import KubeHttp
from bootstrap.adapters.kube.manifests.discovery import Discovery
from bootstrap.adapters.kube.objects import kube_object
from bootstrap.errors import HomelabError, KubernetesError
from bootstrap.manifests.values import FieldOwner, GroupKind, Object, ObjectId
from bootstrap.ports.manifests import Applied, ApplyAnswer, Conflicting, KindFacts, NotTaken

MANAGER: Final = "homelab-k8s"
"""Our field manager."""
_APPLY: Final = "application/apply-patch+yaml"
_NOT_FOUND, _CONFLICT = 404, 409
_INTERNAL: Final = 500
_REFUSALS: Final = frozenset({400, 403, _NOT_FOUND, 405, _CONFLICT, 413, 415, 422, _INTERNAL})
_PASSING: Final = frozenset({429, 502, 503, 504})
_MAY_PASS: Final = re.compile(
    r"failed calling webhook|conversion webhook for|etcdserver: |leader changed|connection refused"
    r"|no endpoints available|deadline exceeded|database is locked"
)
"""In the words of a 500. Others are final: for a field that is not in a kind's schema the API says 500, too."""
_APPLY_S: Final = 35.0
"""For an answer: admission webhooks have up to 30 s."""
_PAGE: Final = 500
_MOST_PAGES: Final = 200
_MOST_SAID: Final = 2000
_MANAGER: Final = re.compile(r'conflict with "([^"]*)"')


class HttpKubeObjects:
    """Objects of any kind; implements `bootstrap.ports.KubeObjects`."""

    def __init__(self, http: KubeHttp) -> None:
        self._http = http
        self._discovery = Discovery(http)

    def kind(self, kind: GroupKind, version: str = "") -> KindFacts | None:
        """See the port."""
        return self._discovery.find(kind, version)

    def get(self, kind: KindFacts, namespace: str, name: str) -> Object | None:
        """See the port."""
        path = _path(kind, namespace, name)
        answer = self._http.ask(self._http.client.get, path, accepted=frozenset({_NOT_FOUND}))
        return None if answer.status == _NOT_FOUND else answer.object

    def labelled(self, kind: KindFacts, labels: Mapping[str, str], *, namespace: str = "") -> tuple[Object, ...]:
        """See the port; page by page.

        Raises:
            KubernetesError: The list has no end.
        """
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        query = {"labelSelector": selector, "limit": str(_PAGE)}
        found: list[Object] = []
        for _ in range(_MOST_PAGES):
            answer = self._send("GET", _path(kind, namespace), query, accepted=frozenset({_NOT_FOUND}))
            if answer.status == _NOT_FOUND:
                break  # the kind is gone with its CRD
            listing = kube_object(answer.object, what=f"list the {kind.plural}")
            for item in listing.at("items").items(optional=True):
                # Items of a list do not repeat what the list says.
                body = {key: value.value for key, value in item.entries()}
                found.append({"apiVersion": kind.api_version, "kind": kind.kind.kind, **body})
            token = listing.at("metadata").at("continue").text("")
            if not token:
                break
            query["continue"] = token
        else:
            raise KubernetesError(f"the list of {kind.plural} has no end", details=f"{len(found)} were listed")
        return tuple(found)

    def apply(
        self, kind: KindFacts, body: Object, *, namespace: str, dry_run: bool = False, force: bool = False
    ) -> ApplyAnswer:
        """See the port."""
        name = str(body["metadata"]["name"])
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        answer = self._send("PATCH", _path(kind, namespace, name), query, body, _APPLY, accepted=_REFUSALS | _PASSING)
        if answer.status < 300:
            return Applied(body=answer.object)
        said = _said(answer)
        if answer.status == _CONFLICT:
            owners = _owners(answer)
            return Conflicting(owners=owners, said=said) if owners else NotTaken(said=said, passing=True)
        passing = answer.status in _PASSING or (answer.status == _INTERNAL and bool(_MAY_PASS.search(said)))
        return NotTaken(said=said, absent=answer.status == _NOT_FOUND, passing=passing)

    def delete(self, kind: KindFacts, found: ObjectId, *, uid: str) -> bool:
        """See the port."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        path = _path(kind, found.namespace, found.name)
        # A conflict: another object has the name now.
        answer = self._send("DELETE", path, {}, options, accepted=frozenset({_NOT_FOUND, _CONFLICT}))
        return answer.status < 300

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None = None,
        content_type: str = "application/json",
        *,
        accepted: frozenset[int],
    ) -> Answer:
        send = self._http.client.send
        return self._http.ask(
            send, method, path, query=query, body=body, content_type=content_type, timeout_s=_APPLY_S, accepted=accepted
        )


def _path(kind: KindFacts, namespace: str, name: str = "") -> str:
    parts = ["apis" if kind.kind.group else "api", *kind.api_version.split("/")]
    parts += ["namespaces", namespace] if namespace else []
    parts += [kind.plural, *([name] if name else [])]
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _said(answer: Answer) -> str:
    """The API's words, whole: where it refuses an object it lists every field."""
    try:
        message = kube_object(answer.object, what="apply an object").at("message").text("")
    except HomelabError:
        message = answer.text
    return message.strip()[:_MOST_SAID] or f"HTTP {answer.status}"


def _owners(answer: Answer) -> tuple[FieldOwner, ...]:
    """The fields that others manage, as the causes of a conflict name them; none in a conflict of another kind."""
    causes = kube_object(answer.object, what="apply an object").at("details").at("causes").items(optional=True)
    return tuple(
        FieldOwner(path=cause.at("field").text("").removeprefix("."), manager=_manager(cause.at("message").text("")))
        for cause in causes
        if cause.at("reason").text("") == "FieldManagerConflict"
    )


def _manager(message: str) -> str:
    found = _MANAGER.search(message)
    return found.group(1) if found else message

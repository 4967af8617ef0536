"""The custom kinds that charts of Flux and Argo CD bring, as far as a first source and a first application use them.

Other fields are taken as they are. (fluxcd-community/helm-charts charts/flux2/templates/*.crds.yaml, Flux 2.8;
argoproj/argo-helm charts/argo-cd/templates/crds/crd-application.yaml)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..shapes import Obj

_TEXT: Obj = {"type": "string"}
_SWITCH: Obj = {"type": "boolean"}
_TIME: Obj = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"}
_OPEN: Obj = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class _Kind(NamedTuple):
    group: str
    version: str
    kind: str
    plural: str
    needed: tuple[str, ...]
    fields: Obj
    has_status: bool = True


_CHARTS = {
    "flux2": (
        _Kind(
            "source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories", ("interval", "url"),
            {"interval": _TIME, "url": {"type": "string", "pattern": "^(http|https|ssh)://.*$"},
             "timeout": {**_TIME, "default": "60s"}, "secretRef": {**_OPEN, "required": ["name"]}, "ref": _OPEN},
        ),
        _Kind(
            "kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations", ("interval", "prune", "sourceRef"),
            {"interval": _TIME, "path": _TEXT, "prune": _SWITCH, "force": {**_SWITCH, "default": False},
             "deletionPolicy": {"type": "string", "enum": ["MirrorPrune", "Delete", "WaitForTermination", "Orphan"]},
             "sourceRef": {**_OPEN, "required": ["kind", "name"]}},
        ),
    ),
    "argo-cd": (
        _Kind(
            "argoproj.io", "v1alpha1", "Application", "applications", ("destination", "project"),
            {"project": _TEXT, "destination": _OPEN, "source": _OPEN, "syncPolicy": _OPEN}, has_status=False,
        ),
    ),
}  # fmt: skip


def definitions_of(chart: str) -> Iterator[Obj]:
    """The definitions that a chart of this name brings."""
    for group, version, kind, plural, needed, fields, has_status in _CHARTS.get(chart, ()):
        spec = {**_OPEN, "required": list(needed), "properties": fields}
        served: Obj = {
            "name": version, "served": True, "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": _OPEN}}},
        }  # fmt: skip
        served |= {"subresources": {"status": {}}} if has_status else {}
        names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
        yield {
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [served]},
        }

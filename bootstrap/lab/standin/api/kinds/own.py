"""k3s's own custom kinds, which are there from the start (helm-controller v0.17, k3s-io/api v0.1.4)."""

from __future__ import annotations

from functools import cache

from ...logs import stamp
from ...shapes import Obj
from ..resources import RESOURCES
from .custom import Custom, whole_type

VERDICTS = (
    ("NamesAccepted", "NoConflicts", "no conflicts found"),
    ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
)
"""The conditions of a definition that is served: type, reason, message."""
OBJECT: Obj = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
KINDS = {"b": {"type": "boolean"}, "i": {"type": "integer", "format": "int32"}, "s": {"type": "string"},
         "?": {"x-kubernetes-preserve-unknown-fields": True}}  # fmt: skip
POLICY = {"type": "string", "enum": ["abort", "reinstall", "retry"], "default": "reinstall"}
SIDE = {"type": "string", "enum": ["true", "false", "auto"]}
REFERENCE: Obj = {"type": "object", "x-kubernetes-map-type": "atomic",
                  "properties": {"name": {"type": "string", "default": ""}}}  # fmt: skip
SECRETS: Obj = {"type": "array", "items": {"type": "object", "properties": {
    "ignoreUpdates": KINDS["b"], "name": KINDS["s"], "keys": {"type": "array", "items": KINDS["s"]}}}}  # fmt: skip
SET: Obj = {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}}
CONDITIONS: Obj = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                   "items": {**OBJECT, "required": ["status", "type"],
                             "properties": {"type": KINDS["s"], "status": KINDS["s"]}}}  # fmt: skip
CHART = {
    "authPassCredentials": "b", "backOffLimit": "i", "bootstrap": "b", "chart": "s", "chartContent": "s",
    "createNamespace": "b", "forceConflicts": "b", "helmVersion": "s", "insecureSkipTLSVerify": "b", "jobImage": "s",
    "plainHTTP": "b", "repo": "s", "repoCA": "s", "takeOwnership": "b", "targetNamespace": "s", "timeout": "s",
    "values": "?", "valuesContent": "s", "version": "s",
}  # fmt: skip
CONFIG = {"forceConflicts": "b", "values": "?", "valuesContent": "s"}
SPECS: dict[str, Obj] = {
    "helmcharts": {
        **{name: KINDS[kind] for name, kind in CHART.items()}, "failurePolicy": POLICY, "serverSide": SIDE, "set": SET,
        "valuesSecrets": SECRETS, "authSecret": REFERENCE, "dockerRegistrySecret": REFERENCE,
        "repoCAConfigMap": REFERENCE, "podSecurityContext": OBJECT, "securityContext": OBJECT,
        "driver": {"type": "string", "enum": ["secret", "configmap"], "default": "secret"},
    },
    "helmchartconfigs": {
        **{name: KINDS[kind] for name, kind in CONFIG.items()}, "failurePolicy": POLICY, "serverSide": SIDE,
        "valuesSecrets": SECRETS,
    },
    "addons": {"source": KINDS["s"], "checksum": KINDS["s"]},
}  # fmt: skip
DEFINED = (*SPECS, "etcdsnapshotfiles")


def schema_of(plural: str) -> Obj:
    if plural not in SPECS:
        return OBJECT
    status: Obj = {"type": "object", "properties": {"jobName": KINDS["s"], "conditions": CONDITIONS}}
    properties = {"spec": {"type": "object", "properties": SPECS[plural]}}
    return {"type": "object", "properties": properties | ({"status": status} if plural == "helmcharts" else {})}


@cache
def own(plural: str) -> Custom | None:
    """One of these kinds."""
    if plural not in SPECS:
        return None
    resource, schema = RESOURCES[plural], schema_of(plural)
    return Custom(resource, schema, whole_type(resource.kind, schema), {})


def definitions() -> list[Obj]:
    """Their definitions, established."""
    found = []
    for plural in DEFINED:
        resource = RESOURCES[plural]
        names: Obj = {"plural": plural, "singular": resource.singular, "kind": resource.kind,
                 "listKind": f"{resource.kind}List"}  # fmt: skip
        names |= {"shortNames": list(resource.short)} if resource.short else {}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema_of(plural)}}
        version |= {"subresources": {"status": {}}} if resource.status else {}
        scope = "Namespaced" if resource.namespaced else "Cluster"
        conditions = [{"type": kind, "status": "True", "reason": reason, "message": message,
                       "lastTransitionTime": stamp()} for kind, reason, message in VERDICTS]  # fmt: skip
        found.append({
            "metadata": {"name": resource.qualified},
            "spec": {"group": resource.group, "scope": scope, "names": names, "versions": [version],
                     "conversion": {"strategy": "None"}},
            "status": {"acceptedNames": names, "conditions": conditions, "storedVersions": ["v1"]},
        })  # fmt: skip
    return found

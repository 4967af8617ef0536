"""/openapi/v3, as far as kubectl reads it: which options a patch takes, and the fields of kinds."""

from __future__ import annotations

import hashlib

from ...failures import no_such_path
from ...shapes import Obj
from ..resources import Resource
from ..types.types import Type
from .kinds import Kinds

OPTIONS = ("dryRun", "fieldManager", "fieldValidation", "force")
SCALARS: dict[str, Obj] = {
    "string": {"type": "string"}, "bytes": {"type": "string", "format": "byte"}, "bool": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"}, "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"}, "float64": {"type": "number", "format": "double"},
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "int-or-string": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}  # fmt: skip
DEEPEST = 12
"""Deeper fields are described as objects: some types contain themselves."""


def openapi(kinds: Kinds, parts: list[str]) -> Obj:
    """The list of documents, or one of them; `parts` is the path split at its slashes."""
    versions = {("api/" if each == "v1" else "apis/") + each: each for each in ["v1", *kinds.group_versions()]}
    if len(parts) == 2:
        revision = hashlib.sha256(repr(sorted(kinds.customs())).encode()).hexdigest()[:16]
        paths = {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={revision}"} for path in versions}
        return {"paths": paths}
    group_version = versions.get("/".join(parts[2:]))
    if group_version is None:
        raise no_such_path()
    found = [each for each in kinds.all() if each.group_version == group_version]
    schemas = {schema_name(each): schema_of(each, kinds.type_of(each)) for each in found}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "unversioned"},
            "paths": {path_of(each): {"patch": operation(each)} for each in found},
            "components": {"schemas": schemas}}  # fmt: skip


def path_of(resource: Resource) -> str:
    start = f"/apis/{resource.group_version}" if resource.group else "/api/v1"
    return f"{start}{'/namespaces/{namespace}' if resource.namespaced else ''}/{resource.plural}/{{name}}"


def kind_of(resource: Resource) -> Obj:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def operation(resource: Resource) -> Obj:
    options = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in OPTIONS]
    return {"parameters": options, "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind_of(resource)}


def schema_name(resource: Resource) -> str:
    return ".".join(filter(None, (resource.group or "core", resource.version, resource.kind)))


def schema_of(resource: Resource, kind: Type | None) -> Obj:
    found = described(kind, 0) if kind is not None else {"type": "object"}
    return {**found, "x-kubernetes-group-version-kind": [kind_of(resource)]}


def described(kind: Type, depth: int) -> Obj:
    """A type as a schema."""
    if kind.kind == "scalar":
        return SCALARS[kind.scalar]
    if kind.kind == "any" or depth > DEEPEST:
        return {"type": "object"} if depth > DEEPEST else {}
    if kind.kind == "list":
        return {"type": "array", "items": described(kind.element(), depth + 1)}
    if kind.kind == "map":
        return {"type": "object", "additionalProperties": described(kind.element(), depth + 1)}
    fields = {name: below for name in kind.fields() if (below := kind.field(name))}
    result: Obj = {"type": "object", "properties": {name: described(each, depth + 1) for name, each in fields.items()}}
    return {**result, "required": sorted(kind.always)} if kind.always else result

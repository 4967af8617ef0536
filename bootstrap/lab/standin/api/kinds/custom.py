"""Custom kinds, from their definitions."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...shapes import Obj
from ..objects import is_true
from ..resources import Resource
from ..types.types import ANY, OPAQUE, Type, parse


class Custom(NamedTuple):
    """A version of a custom kind."""

    resource: Resource
    schema: Obj
    type: Type
    scale: Obj


def customs(definitions: Iterable[Obj]) -> dict[tuple[str, str], Custom]:
    """The kinds that are served, by group version and plural."""
    found = {}
    for definition in definitions:
        if is_true(definition, "Established"):
            for version in definition["spec"].get("versions") or []:
                if version.get("served"):
                    custom = _custom(definition["spec"], version)
                    found[custom.resource.group_version, custom.resource.plural] = custom
    return found


def _custom(spec: Obj, version: Obj) -> Custom:
    names, subresources = spec["names"], version.get("subresources") or {}
    resource = Resource(
        names["plural"], names["kind"], f"{spec['group']}/{version['name']}", spec["scope"] == "Namespaced",
        tuple(names.get("shortNames") or ()), status="status" in subresources, counts=True,
        scales="scale" in subresources, categories=tuple(names.get("categories") or ()),
        single=names.get("singular", ""), custom=True,
    )  # fmt: skip
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return Custom(resource, schema, whole_type(names["kind"], schema), subresources.get("scale") or {})


def whole_type(kind: str, schema: Obj) -> Type:
    """The type of a custom kind's objects: that of its schema, with the metadata of all objects."""
    found = type_of(schema)
    known = {**found.known, "apiVersion": parse("s"), "kind": parse("s"), "metadata": parse("@meta.ObjectMeta")}
    return Type("struct", name=kind, atomic=found.atomic, known=known, rest=found.rest)


def type_of(schema: Obj) -> Type:
    """The type that a structural schema describes (kube-openapi, schemaconv/openapi.go)."""
    kind = schema.get("type", "")
    if schema.get("x-kubernetes-int-or-string"):
        return parse("x")
    if kind == "object":
        return _object(schema)
    if kind == "array":
        return _array(schema)
    return _scalar(kind, schema)


def _scalar(kind: str, schema: Obj) -> Type:
    if kind == "string":
        return parse("s")
    if kind == "integer":
        return parse({"int32": "i"}.get(schema.get("format", ""), "l"))
    return {"number": parse("n"), "boolean": parse("b")}.get(kind, ANY)


def _object(schema: Obj) -> Type:
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    properties: dict[str, Obj] = schema.get("properties") or {}
    more: Any = schema.get("additionalProperties")
    if schema.get("x-kubernetes-embedded-resource"):
        properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
                      **properties}  # fmt: skip
    if more and not properties:
        return Type("map", atomic=atomic, rest=type_of(more) if isinstance(more, dict) else ANY)
    if schema.get("x-kubernetes-preserve-unknown-fields") and not properties:
        return OPAQUE if atomic else ANY
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    return Type("struct", atomic=atomic, known={name: type_of(each) for name, each in properties.items()},
                rest=ANY if open_ended else None)  # fmt: skip


def _array(schema: Obj) -> Type:
    item, kind = type_of(schema.get("items") or {}), schema.get("x-kubernetes-list-type", "atomic")
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if kind == "map" else ()
    return Type("list", atomic=kind == "atomic", keys=keys, rest=item)


def defaulted(schema: Obj, value: Any) -> Any:
    """A value with the defaults of its schema; a field that is null and may not be is as one that is missing."""
    if isinstance(value, dict):
        result = dict(value)
        more = schema.get("additionalProperties")
        for name, below in (schema.get("properties") or {}).items():
            missing = name not in result or (result[name] is None and not below.get("nullable"))
            if missing and "default" in below:
                result[name] = copy.deepcopy(below["default"])
        for name, item in result.items():
            below = (schema.get("properties") or {}).get(name) or (more if isinstance(more, dict) else {})
            result[name] = defaulted(below, item)
        return result
    if isinstance(value, list):
        return [defaulted(schema.get("items") or {}, item) for item in value]
    return value

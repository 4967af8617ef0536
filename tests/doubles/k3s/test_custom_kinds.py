"""Custom kinds: what a real Kubernetes does, on the stand-in (see raw_api for the real one)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.doubles.k3s.machines import eventually
from tests.doubles.k3s.raw_api import RawApi

Obj = dict[str, Any]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(group: str, **schema: object) -> Obj:
    port = {"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}}
    properties = {
        "replicas": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}},
        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                  "items": {**port, "required": ["name"]}},
    }  # fmt: skip
    spec = {"type": "object", "properties": properties, **schema}
    version = {
        "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}},
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"boxes.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "versions": [version],
                 "names": {"plural": "boxes", "kind": "Box", "shortNames": ["bx"]}},
    }  # fmt: skip


class Boxes:
    """A custom kind of one test."""

    def __init__(self, api: RawApi) -> None:
        self.group = f"t{secrets.token_hex(4)}.example.org"
        self.path = f"{DEFINITIONS}/boxes.{self.group}"
        self.one = f"{self.group}/v1 boxes/one"
        made = api.apply(self.path, definition(self.group))
        assert made.code == 201, made.body
        assert made.body["spec"]["names"] == {
            "plural": "boxes", "kind": "Box", "shortNames": ["bx"], "singular": "box", "listKind": "BoxList",
        }  # fmt: skip
        eventually(lambda: api.get(f"{self.group}/v1 boxes").code == 200, "the kind is served")

    def box(self, **spec: object) -> Obj:
        return {"apiVersion": f"{self.group}/v1", "kind": "Box", "metadata": {"name": "one"}, "spec": spec}


@pytest.fixture
def boxes(api: RawApi) -> Boxes:
    return Boxes(api)


def test_a_definition_becomes_established_and_is_served(api: RawApi, boxes: Boxes) -> None:
    status = api.get(boxes.path).body["status"]
    assert [(each["type"], each["status"], each["reason"]) for each in status["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"), ("Established", "True", "InitialNamesAccepted"),
    ]  # fmt: skip
    assert status["storedVersions"] == ["v1"]
    listed = api.get(f"/apis/{boxes.group}/v1").body["resources"]
    assert [each["name"] for each in listed] == ["boxes", "boxes/status"]
    empty = api.get(f"{boxes.group}/v1 boxes").body
    assert (empty["kind"], empty["items"]) == ("BoxList", [])
    assert api.get("/apis/none.example.org/v1/boxes").code == 404


def test_custom_objects_are_applied_by_their_schema(api: RawApi, boxes: Boxes) -> None:
    made = api.apply(boxes.one, boxes.box(replicas=1, ports=[{"name": "a", "port": 1}]))
    assert made.code == 201, made.body
    added = api.apply(boxes.one, boxes.box(ports=[{"name": "b", "port": 2}]), "two")
    assert [each["name"] for each in added.body["spec"]["ports"]] == ["a", "b"]
    assert added.managed()["two", "Apply"] == {
        "f:spec": {"f:ports": {'k:{"name":"b"}': {".": {}, "f:name": {}, "f:port": {}}}}
    }
    assert api.apply(boxes.one, boxes.box(replicas=2), "two").message == (
        'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    )
    assert added.body["metadata"]["generation"] == 2
    posted = api.post(
        f"{boxes.group}/v1 boxes", {**boxes.box(replicas=1), "metadata": {"name": "two"}}, fieldManager="me"
    )
    assert posted.managed() == {("me", "Update"): {"f:spec": {".": {}, "f:replicas": {}}}}


def test_a_deleted_definition_takes_its_objects_along(api: RawApi, boxes: Boxes) -> None:
    api.apply(boxes.one, boxes.box(replicas=1))
    assert api.delete(boxes.path).code == 200
    eventually(lambda: api.get(boxes.path).code == 404, "the definition is gone")
    eventually(lambda: api.get(boxes.one).code == 404, "the kind is no longer served")

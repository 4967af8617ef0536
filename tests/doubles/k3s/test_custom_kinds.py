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


def test_custom_objects_are_checked_by_their_schema(api: RawApi, boxes: Boxes) -> None:
    path = f"{boxes.group}/v1 boxes"
    wrong = api.post(path, boxes.box(replicas="many"))
    assert wrong.code == 422
    assert wrong.message == (
        f'Box.{boxes.group} "one" is invalid: spec.replicas: Invalid value: "string": spec.replicas in body must be of '
        'type integer: "string"'
    )
    assert api.post(path, boxes.box(ports=[{"port": 1}])).message == (
        f'Box.{boxes.group} "one" is invalid: spec.ports[0].name: Required value'
    )
    assert api.apply(boxes.one, boxes.box(foo=1)).message.endswith(".spec.foo: field not declared in schema")
    assert api.post(path, boxes.box(foo=1), fieldValidation="Strict").message == (
        'Box in version "v1" cannot be handled as a Box: strict decoding error: unknown field "spec.foo"'
    )
    pruned = api.post(path, boxes.box(foo=1, replicas=1))
    assert (pruned.warnings, pruned.body["spec"]) == (['unknown field "spec.foo"'], {"replicas": 1})
    assert api.patch(boxes.one, {}, "strategic-merge").code == 415


def test_a_bad_definition_is_refused(api: RawApi) -> None:
    body = definition("example.org")
    body["metadata"]["name"] = "other.example.org"
    body["spec"]["versions"][0]["storage"] = False
    refused = api.post(DEFINITIONS, body)
    assert refused.code == 422
    told = dict(zip([field for _, field in refused.causes], refused.details["causes"], strict=True))
    assert told["metadata.name"]["message"] == (
        'Invalid value: "other.example.org": must be spec.names.plural+"."+spec.group'
    )
    assert told["spec.versions"]["message"].endswith("must have exactly one version marked as storage version")


def test_charts_of_k3s_are_a_custom_kind(api: RawApi) -> None:
    path = "helm.cattle.io/v1 helmcharts/web"
    chart = {"apiVersion": "helm.cattle.io/v1", "kind": "HelmChart", "metadata": {"name": "web"},
             "spec": {"chart": "web", "repo": "https://charts.example.org", "valuesContent": "a: 1\n"}}  # fmt: skip
    made = api.apply(path, chart, dryRun="All")
    assert made.body["spec"]["failurePolicy"] == "reinstall"
    assert made.managed() == {("one", "Apply"): {"f:spec": {"f:chart": {}, "f:repo": {}, "f:valuesContent": {}}}}
    chart["spec"] = {"chart": "web", "failurePolicy": "hope"}
    assert api.apply(path, chart, dryRun="All").message == (
        'HelmChart.helm.cattle.io "web" is invalid: spec.failurePolicy: Unsupported value: "hope": supported values: '
        '"abort", "reinstall", "retry"'
    )
    listed = {each["metadata"]["name"] for each in api.get(DEFINITIONS).body["items"]}
    assert {"addons.k3s.cattle.io", "helmchartconfigs.helm.cattle.io", "helmcharts.helm.cattle.io"} <= listed

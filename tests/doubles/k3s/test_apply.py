"""Server-side apply and managed fields: what a real Kubernetes does, on the stand-in (see raw_api for the real one)."""

from __future__ import annotations

from typing import Any

from tests.doubles.k3s.raw_api import RawApi

Obj = dict[str, Any]
DEPLOYMENT = "apps/v1 deployments/web"


def deployment(**spec: object) -> Obj:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "example.org/web:1"}]},
    }
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }  # fmt: skip


def config_map(name: str = "cm", **data: str) -> Obj:
    own = {"data": data} if data else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **own}


def fields(**data: Obj) -> Obj:
    return {"f:data": {f"f:{key}": value for key, value in data.items()}}


CM = "v1 configmaps/cm"


def test_an_apply_creates_and_owns_what_it_says_and_no_default(api: RawApi) -> None:
    made = api.apply(DEPLOYMENT, deployment())
    assert made.code == 201
    assert made.managed() == {
        ("one", "Apply"): {
            "f:spec": {
                "f:replicas": {}, "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}, "f:name": {}}}},
                },
            }
        }
    }  # fmt: skip
    assert made.body["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    container = made.body["spec"]["template"]["spec"]["containers"][0]
    assert (container["imagePullPolicy"], container["resources"]) == ("IfNotPresent", {})
    entry = made.body["metadata"]["managedFields"][0]
    assert (entry["apiVersion"], entry["fieldsType"]) == ("apps/v1", "FieldsV1")
    again = api.apply(DEPLOYMENT, deployment())
    assert again.code == 200
    assert again.body["metadata"]["resourceVersion"] == made.body["metadata"]["resourceVersion"]


def test_a_created_object_belongs_to_the_user_agent_with_its_defaults(api: RawApi) -> None:
    made = api.ask("POST", "apps/v1 deployments", deployment(), agent="kubectl-create/v1.36 (linux)")
    assert made.code == 201
    owned = made.managed()["kubectl-create", "Update"]["f:spec"]
    assert owned["f:strategy"] == {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}}
    assert owned["f:selector"] == {}
    assert owned["f:template"]["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
    assert owned["f:template"]["f:spec"]["f:containers"] == {
        'k:{"name":"web"}': {
            ".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {},
            "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {},
        }
    }  # fmt: skip
    named = api.post("v1 configmaps", config_map("named", a="1"), fieldManager="me")
    assert named.managed() == {("me", "Update"): {"f:data": {".": {}, "f:a": {}}}}


def test_another_value_conflicts_and_force_takes_it(api: RawApi) -> None:
    api.apply(DEPLOYMENT, deployment())
    refused = api.apply(DEPLOYMENT, deployment(replicas=2), "two")
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    assert refused.details["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.replicas"}
    ]
    forced = api.apply(DEPLOYMENT, deployment(replicas=2), "two", force="true")
    assert (forced.code, forced.body["spec"]["replicas"]) == (200, 2)
    assert "f:replicas" in forced.managed()["two", "Apply"]["f:spec"]
    assert "f:replicas" not in forced.managed()["one", "Apply"]["f:spec"]
    assert "f:selector" in forced.managed()["one", "Apply"]["f:spec"], "the same value is shared"


def test_conflicts_with_several_are_listed_by_manager(api: RawApi) -> None:
    api.apply(CM, config_map(a="1"), "one")
    api.patch(CM, {"data": {"b": "1", "c": "1"}}, fieldManager="other")
    refused = api.apply(CM, config_map(a="2", b="2", c="2"), "two")
    assert refused.message.splitlines() == [
        'Apply failed with 3 conflicts: conflicts with "one":', "- .data.a",
        'conflicts with "other" using v1:', "- .data.b", "- .data.c",
    ]  # fmt: skip
    assert refused.causes == [("FieldManagerConflict", f".data.{key}") for key in "abc"]


def test_an_update_takes_what_it_changes(api: RawApi) -> None:
    api.apply(CM, config_map(a="1", b="1"))
    changed = api.patch(CM, {"data": {"b": "2", "c": "3"}}, fieldManager="edit")
    assert changed.managed() == {("one", "Apply"): fields(a={}), ("edit", "Update"): fields(b={}, c={})}
    whole = api.get(CM).body
    whole["data"] = {"a": "9", "b": "2"}
    replaced = api.put(CM, whole, fieldManager="put")
    assert replaced.managed() == {("edit", "Update"): fields(b={}), ("put", "Update"): fields(a={})}


def test_what_is_applied_no_longer_goes_unless_others_have_it(api: RawApi) -> None:
    api.apply(CM, config_map(a="1", b="1", c="1"), "one")
    api.apply(CM, config_map(b="1"), "two")
    left = api.apply(CM, config_map(a="1"), "one")
    assert left.body["data"] == {"a": "1", "b": "1"}
    assert left.managed() == {("one", "Apply"): fields(a={}), ("two", "Apply"): fields(b={})}
    none = api.apply(CM, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}}, "one")
    assert none.body["data"] == {"b": "1"}
    assert list(none.managed()) == [("two", "Apply")]


def test_lists_are_merged_by_their_keys(api: RawApi) -> None:
    api.apply(DEPLOYMENT, deployment())
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    sidecar = {"name": "side", "image": "example.org/side:1", "env": [{"name": "A", "value": "1"}]}
    added = api.apply(DEPLOYMENT, {**body, "spec": {"template": {"spec": {"containers": [sidecar]}}}}, "two")
    assert added.code == 200, added.body
    assert [each["name"] for each in added.body["spec"]["template"]["spec"]["containers"]] == ["web", "side"]
    key = added.managed()["two", "Apply"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"side"}']
    assert key["f:env"] == {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}
    gone = api.apply(DEPLOYMENT, {**body, "metadata": {"name": "web", "labels": {"x": "y"}}}, "two")
    assert [each["name"] for each in gone.body["spec"]["template"]["spec"]["containers"]] == ["web"]


def test_sets_and_atomic_lists(api: RawApi) -> None:
    body = config_map(a="1")
    body["metadata"]["finalizers"] = ["example.org/one"]
    api.apply(CM, body, "one")
    body = config_map()
    body["metadata"]["finalizers"] = ["example.org/two"]
    both = api.apply(CM, body, "two")
    assert both.body["metadata"]["finalizers"] == ["example.org/one", "example.org/two"]
    assert both.managed()["two", "Apply"] == {"f:metadata": {"f:finalizers": {'v:"example.org/two"': {}}}}
    api.patch(CM, {"metadata": {"finalizers": None}})
    pod = {"name": "web", "image": "example.org/web:1", "command": ["a", "b"]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [pod]}}
    api.apply(DEPLOYMENT, deployment(template=template))
    pod["command"] = ["a", "c"]
    refused = api.apply(DEPLOYMENT, deployment(template=template), "two")
    assert refused.causes == [("FieldManagerConflict", '.spec.template.spec.containers[name="web"].command')]


def test_dry_runs_answer_and_keep_nothing(api: RawApi) -> None:
    made = api.apply(CM, config_map(a="1"), dryRun="All")
    assert (made.code, made.body["data"]) == (201, {"a": "1"})
    assert api.get(CM).code == 404
    kept = api.apply(CM, config_map(a="1"))
    tried = api.apply(CM, config_map(a="2"), dryRun="All")
    assert (tried.code, tried.body["data"]) == (200, {"a": "2"})
    assert api.get(CM).body == kept.body
    assert api.apply(CM, config_map(a="2"), "two", dryRun="All").code == 409
    assert api.delete(CM).code == 200


def test_objects_that_nobody_tracks_belong_to_the_time_before(api: RawApi) -> None:
    api.apply(CM, config_map(a="1", b="1"))
    cleared = api.patch(CM, {"metadata": {"managedFields": [{}]}})
    assert "managedFields" not in cleared.body["metadata"]
    still = api.patch(CM, {"data": {"c": "1"}})
    assert "managedFields" not in still.body["metadata"], "updates do not begin to track"
    refused = api.apply(CM, config_map(a="2"))
    assert refused.message == 'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a'
    taken = api.apply(CM, config_map(a="1"))
    assert taken.managed() == {
        ("one", "Apply"): fields(a={}),
        ("before-first-apply", "Update"): {"f:data": {".": {}, "f:a": {}, "f:b": {}, "f:c": {}}},
    }


def test_kubectl_takes_over_from_its_client_side_apply(api: RawApi) -> None:
    body = config_map(a="1")
    last = '{"apiVersion":"v1","data":{"a":"1"},"kind":"ConfigMap","metadata":{"annotations":{},"name":"cm"}}\n'
    body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": last}
    api.post("v1 configmaps", body, fieldManager="kubectl-client-side-apply")
    assert api.apply(CM, config_map(a="2"), "somebody").code == 409
    taken = api.apply(CM, config_map(a="2"), "kubectl")
    assert (taken.code, taken.body["data"]) == (200, {"a": "2"})
    assert (
        '"data":{"a":"2"}' in taken.body["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    )


def test_the_status_has_managers_of_its_own(api: RawApi) -> None:
    body = deployment()
    body["status"] = {"replicas": 7}
    made = api.apply(DEPLOYMENT, body)
    assert "f:status" not in made.managed()["one", "Apply"]
    status = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
              "status": {"conditions": [{"type": "Mine", "status": "True"}]}}  # fmt: skip
    applied = api.apply(f"{DEPLOYMENT}/status", status, "two")
    assert applied.code == 200, applied.body
    entry = next(each for each in applied.body["metadata"]["managedFields"] if each["manager"] == "two")
    assert entry["subresource"] == "status"
    assert entry["fieldsV1"] == {
        "f:status": {"f:conditions": {'k:{"type":"Mine"}': {".": {}, "f:status": {}, "f:type": {}}}}
    }


def test_what_an_apply_may_not_say(api: RawApi) -> None:
    without = api.ask("PATCH", CM, config_map(), kind="application/apply-patch+yaml")
    assert without.code == 422
    assert without.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    forced = api.patch(CM, {}, force="true")
    assert forced.message == (
        'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch'
    )
    cbor = api.ask("PATCH", CM, b"\xa0", kind="application/apply-patch+cbor", query={"fieldManager": "one"})
    assert (cbor.code, cbor.body["reason"]) == (415, "UnsupportedMediaType")
    assert cbor.message == (
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
        "application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
    )
    managed = config_map()
    managed["metadata"]["managedFields"] = [{}]
    assert api.apply(CM, managed).message == "metadata.managedFields must be nil"
    other = api.apply(CM, config_map("other"))
    assert other.message == "the name of the object (other) does not match the name on the URL (cm)"
    assert (api.apply(CM, deployment()).code, api.apply(CM, deployment()).message) == (
        400, "invalid object type: apps/v1, Kind=Deployment",
    )  # fmt: skip


def test_fields_that_no_schema_has_are_refused_by_an_apply(api: RawApi) -> None:
    unknown = api.apply(DEPLOYMENT, deployment(foo=1))
    assert unknown.code == 500
    assert unknown.message == (
        f"failed to create typed patch object ({api.namespace}/web; apps/v1, Kind=Deployment): .spec.foo: "
        "field not declared in schema"
    ).replace(f"{api.namespace}/", "/")
    wrong = api.apply(DEPLOYMENT, deployment(replicas="many"))
    assert wrong.message.endswith(".spec.replicas: expected numeric (int or float), got string")
    container = {"name": "web", "image": "i"}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container, container]}}
    twice = api.apply(DEPLOYMENT, deployment(template=template))
    assert twice.message.endswith('.spec.template.spec.containers: duplicate entries for key [name="web"]')


def test_a_scale_belongs_to_whoever_sets_it(api: RawApi) -> None:
    api.apply(DEPLOYMENT, deployment(), "one")
    scale = api.get(f"{DEPLOYMENT}/scale")
    assert (scale.body["kind"], scale.body["spec"], scale.body["status"]["selector"]) == (
        "Scale", {"replicas": 0}, "app=web",
    )  # fmt: skip
    assert api.patch(f"{DEPLOYMENT}/scale", {"spec": {"replicas": 3}}, fieldManager="scaler").code == 200
    found = api.get(DEPLOYMENT)
    assert found.body["spec"]["replicas"] == 3
    assert found.managed()["scaler", "Update"] == {"f:spec": {"f:replicas": {}}}
    assert api.apply(DEPLOYMENT, deployment(), "one").message == (
        'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas'
    )
    body = {key: value for key, value in deployment()["spec"].items() if key != "replicas"}
    left = api.apply(DEPLOYMENT, {**deployment(), "spec": body}, "one")
    assert (left.code, left.body["spec"]["replicas"]) == (200, 3)


def test_yaml_is_taken_by_an_apply(api: RawApi) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm\ndata:\n  a: |\n    1\n    2\n  b: 'x'\n"
    made = api.apply(CM, text)
    assert (made.code, made.body["data"]) == (201, {"a": "1\n2\n", "b": "x"})


def test_a_dry_run_has_the_version_of_what_stays(api: RawApi) -> None:
    assert "resourceVersion" not in api.apply(CM, config_map(a="1"), dryRun="All").body["metadata"]
    kept = api.apply(CM, config_map(a="1"))
    tried = api.apply(CM, config_map(a="2"), dryRun="All")
    assert tried.body["metadata"]["resourceVersion"] == kept.body["metadata"]["resourceVersion"]

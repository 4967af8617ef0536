"""What the API refuses and what it warns of, on the stand-in; it holds for a real Kubernetes too (see raw_api)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.doubles.k3s.machines import eventually
from tests.doubles.k3s.raw_api import RawApi

Obj = dict[str, Any]
POD = {"containers": [{"name": "web", "image": "example.org/web:1"}]}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": POD}
DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
    "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE},
}  # fmt: skip
CLAIM = {
    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}  # fmt: skip
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    r"end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def changed(obj: Obj, path: str, value: object) -> Obj:
    """A copy with another value; None takes the field away."""
    result = copy.deepcopy(obj)
    *above, last = path.split(".")
    at: Any = result
    for step in above:
        at = at[int(step)] if step.isdigit() else at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return result


def service(**spec: object) -> Obj:
    ports = {"ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": ports | spec}


def job(**template: object) -> Obj:
    spec = {"template": {"spec": {**POD, **template}}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": spec}


def ingress(**path: object) -> Obj:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend} | path]
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
            "spec": {"rules": [{"host": "example.org", "http": {"paths": paths}}]}}  # fmt: skip


def config_map(name: str, **data: object) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def binding(**subject: str) -> Obj:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
            "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [subject]}  # fmt: skip


SELECTOR = 'Invalid value: {"app":"web"}: `selector` does not match template `labels`'
REFUSED: list[tuple[str, Obj, str]] = [
    ("v1 configmaps", config_map("No_Name"),
     f'ConfigMap "No_Name" is invalid: metadata.name: Invalid value: "No_Name": {SUBDOMAIN}'),
    ("v1 configmaps", config_map("cm", **{"a b": "1"}),
     ('ConfigMap "cm" is invalid: data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric '
      "characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
      "'[-._a-zA-Z0-9]+')")),
    ("apps/v1 deployments", changed(DEPLOYMENT, "spec.selector.matchLabels.app", "other"),
     f'Deployment.apps "web" is invalid: spec.template.metadata.labels: {SELECTOR}'),
    ("apps/v1 deployments", changed(DEPLOYMENT, "spec.selector", None),
     f'Deployment.apps "web" is invalid: [spec.selector: Required value, spec.template.metadata.labels: {SELECTOR}]'),
    ("apps/v1 deployments", changed(DEPLOYMENT, "spec.template.spec.containers.0.image", None),
     'Deployment.apps "web" is invalid: spec.template.spec.containers[0].image: Required value'),
    ("apps/v1 deployments", changed(DEPLOYMENT, "spec.template.spec.containers", []),
     'Deployment.apps "web" is invalid: spec.template.spec.containers: Required value'),
    ("apps/v1 deployments", changed(DEPLOYMENT, "spec.replicas", -1),
     'Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'),
    ("apps/v1 deployments", changed(DEPLOYMENT, "spec.template.spec", {**POD, "restartPolicy": "Never"}),
     ('Deployment.apps "web" is invalid: spec.template.spec.restartPolicy: Unsupported value: "Never": supported '
      'values: "Always"')),
    ("apps/v1 deployments",
     changed(DEPLOYMENT, "spec.template.spec.containers.0.volumeMounts", [{"name": "x", "mountPath": "/x"}]),
     'Deployment.apps "web" is invalid: spec.template.spec.containers[0].volumeMounts[0].name: Not found: "x"'),
    ("apps/v1 deployments", changed(DEPLOYMENT, "spec.template.spec.containers.0.ports", [{"containerPort": 70000}]),
     ('Deployment.apps "web" is invalid: spec.template.spec.containers[0].ports[0].containerPort: Invalid value: '
      "70000: must be between 1 and 65535, inclusive")),
    ("v1 services", service(ports=[{"port": 0}]),
     ('Service "web" is invalid: [spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, '
      "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive]")),
    ("v1 services", service(ports=[{"port": 80}, {"port": 81}]),
     'Service "web" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Required value]'),
    ("v1 services", service(ports=[{"port": 80, "nodePort": 30080}]),
     'Service "web" is invalid: spec.ports[0].nodePort: Forbidden: may not be used when `type` is \'ClusterIP\''),
    ("v1 services", service(ports=[]), 'Service "web" is invalid: spec.ports: Required value'),
    ("batch/v1 jobs", job(),
     ('Job.batch "once" is invalid: spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", '
      '"Never"')),
    ("networking.k8s.io/v1 ingresses", ingress(path="x"),
     ('Ingress.networking.k8s.io "web" is invalid: spec.rules[0].http.paths[0].path: Invalid value: "x": must be an '
      "absolute path")),
    ("v1 persistentvolumeclaims", changed(CLAIM, "spec.accessModes", None),
     'PersistentVolumeClaim "data" is invalid: spec.accessModes: Required value: at least 1 access mode is required'),
    ("rbac.authorization.k8s.io/v1 rolebindings", binding(kind="Robot", name="r2"),
     ('RoleBinding.rbac.authorization.k8s.io "b" is invalid: subjects[0].kind: Unsupported value: "Robot": supported '
      'values: "ServiceAccount", "User", "Group"')),
    ("v1 secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "kubernetes.io/tls"},
     'Secret "s" is invalid: [data[tls.crt]: Required value, data[tls.key]: Required value]'),
    ("v1 configmaps", {**config_map("cm"), "metadata": {"name": "cm", "labels": {"a b": "c"}}},
     ('ConfigMap "cm" is invalid: metadata.labels: Invalid value: "a b": name part must consist of alphanumeric '
      "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
      "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "message"), REFUSED, ids=[message[:60] for *_, message in REFUSED])
def test_what_an_object_may_not_be(api: RawApi, path: str, body: Obj, message: str) -> None:
    refused = api.post(path, body)
    assert (refused.code, refused.message) == (422, message)
    assert refused.body["reason"] == "Invalid"
    assert refused.details["kind"] == body["kind"]
    assert refused.details["causes"][0]["message"]
    applied = api.apply(f"{path}/{body['metadata']['name']}", body)
    assert (applied.code, applied.message) == (422, message), "an apply is refused in the same words"


def test_what_may_not_change(api: RawApi) -> None:
    api.post("apps/v1 deployments", DEPLOYMENT)
    other = {"app": "other"}
    selector = {"spec": {"selector": {"matchLabels": other}, "template": {"metadata": {"labels": other}}}}
    refused = api.patch("apps/v1 deployments/web", selector)
    assert refused.message == (
        'Deployment.apps "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is '
        "immutable"
    )
    made = api.post("v1 services", service())
    assert made.body["spec"]["clusterIPs"] == [made.body["spec"]["clusterIP"]]
    assert made.body["spec"]["ipFamilyPolicy"] == "SingleStack"
    moved = api.patch("v1 services/web", {"spec": {"clusterIP": "10.43.0.77", "clusterIPs": ["10.43.0.77"]}})
    assert moved.message == (
        'Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["10.43.0.77"]: may not change once set'
    )
    kept = api.put("v1 services/web", service(selector={"app": "web"}))
    assert kept.body["spec"]["clusterIP"] == made.body["spec"]["clusterIP"]
    fixed = {**config_map("fixed", a="1"), "immutable": True}
    api.post("v1 configmaps", fixed)
    assert api.patch("v1 configmaps/fixed", {"data": {"a": "2"}}).message == (
        'ConfigMap "fixed" is invalid: data: Forbidden: field is immutable when `immutable` is set'
    )


UNKNOWN = changed(changed(DEPLOYMENT, "spec.foo", 1), "spec.template.spec.containers.0.bar", 2)
FIELDS = 'unknown field "spec.foo", unknown field "spec.template.spec.containers[0].bar"'


def test_unknown_fields_are_refused_warned_of_or_ignored(api: RawApi) -> None:
    path = "apps/v1 deployments"
    strict = api.post(path, UNKNOWN, fieldValidation="Strict", dryRun="All")
    assert strict.code == 400
    told = set(strict.message.removeprefix(STRICT).split(", "))
    assert strict.message.startswith(STRICT)
    assert told == set(FIELDS.split(", "))
    warned = api.post(path, UNKNOWN, dryRun="All")
    assert warned.code == 201
    assert set(warned.warnings) == set(FIELDS.split(", "))
    assert "foo" not in warned.body["spec"], "what no field is for is not kept"
    ignored = api.post(path, UNKNOWN, fieldValidation="Ignore", dryRun="All")
    assert (ignored.code, ignored.warnings) == (201, [])
    api.post(path, DEPLOYMENT)
    patched = api.patch(f"{path}/web", {"spec": {"foo": 1}}, fieldValidation="Strict")
    assert patched.code == 422
    assert patched.message.endswith('strict decoding error: unknown field "spec.foo"')
    assert api.post(path, DEPLOYMENT, fieldValidation="Perhaps").message == (
        'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Perhaps": supported values: "", '
        '"Ignore", "Strict", "Warn"'
    )


STRICT = 'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
WRONG_TYPES = [
    ("spec.replicas", "many",
     "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("spec.template.spec.containers", {},
     "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"),
    ("spec.template.metadata.labels", {"app": 1},
     "json: cannot unmarshal number into Go struct field ObjectMeta.spec.template.metadata.labels of type string"),
    ("spec.template.spec.containers.0.resources", {"limits": {"cpu": "much"}},
     "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "words"), WRONG_TYPES)
def test_values_of_wrong_types(api: RawApi, path: str, value: object, words: str) -> None:
    refused = api.post("apps/v1 deployments", changed(DEPLOYMENT, path, value))
    assert (refused.code, refused.body["reason"]) == (400, "BadRequest")
    assert refused.message == f'Deployment in version "v1" cannot be handled as a Deployment: {words}'


def test_paths_bodies_and_namespaces_that_do_not_fit(api: RawApi) -> None:
    path = "v1 configmaps"
    missing = api.post("/api/v1/namespaces/no-such-place/configmaps", config_map("cm"))
    assert (missing.code, missing.message) == (404, 'namespaces "no-such-place" not found')
    assert missing.details == {"name": "no-such-place", "kind": "namespaces"}
    applied = api.apply("/api/v1/namespaces/no-such-place/configmaps/cm", config_map("cm"))
    assert (applied.code, applied.message) == (404, 'namespaces "no-such-place" not found')
    other = {**config_map("cm"), "metadata": {"name": "cm", "namespace": "elsewhere"}}
    assert api.post(path, other).message == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )
    assert api.post(path, {**config_map("cm"), "apiVersion": "apps/v1"}).message == (
        "the API version in the data (apps/v1) does not match the expected API version (v1)"
    )
    api.post(path, config_map("cm", a="1"))
    twice = api.post(path, config_map("cm", a="1"))
    assert (twice.code, twice.message) == (409, 'configmaps "cm" already exists')
    stale = api.get(f"{path}/cm").body
    api.patch(f"{path}/cm", {"data": {"a": "2"}})
    assert api.put(f"{path}/cm", stale).message == (
        'Operation cannot be fulfilled on configmaps "cm": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    assert api.put(f"{path}/cm", config_map("dm")).message == (
        "the name of the object (dm) does not match the name on the URL (cm)"
    )


def test_defaults_are_filled_in(api: RawApi) -> None:
    claim = api.post("v1 persistentvolumeclaims", CLAIM).body
    assert (claim["spec"]["volumeMode"], claim["status"]["phase"]) == ("Filesystem", "Pending")
    once = api.post("batch/v1 jobs", job(restartPolicy="Never"), dryRun="All").body
    assert (once["spec"]["backoffLimit"], once["spec"]["completions"]) == (6, 1)
    policy = api.post("networking.k8s.io/v1 networkpolicies",
                      {"metadata": {"name": "p"}, "spec": {"podSelector": {}}}, dryRun="All").body  # fmt: skip
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    secret = api.post("v1 secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}).body
    assert (secret["type"], secret["data"], "stringData" in secret) == ("Opaque", {"a": "Yg=="}, False)


def test_a_namespace_goes_with_what_is_in_it(api: RawApi) -> None:
    name = f"{api.namespace}-gone"
    path = f"/api/v1/namespaces/{name}"
    api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    held = {"metadata": {"name": "held", "finalizers": ["example.org/x"]}}
    assert api.post(f"{path}/configmaps", held).code == 201
    assert api.post(f"{path}/secrets", {"metadata": {"name": "s"}}).code == 201
    deleted = api.delete(path)
    assert (deleted.code, deleted.body["status"]["phase"]) == (200, "Terminating")
    refused = api.post(f"{path}/configmaps", {"metadata": {"name": "new"}})
    assert refused.code == 403
    assert refused.message == (
        f'configmaps "new" is forbidden: unable to create new content in namespace {name} because it is being '
        "terminated"
    )
    eventually(lambda: api.get(f"{path}/secrets/s").code == 404, "the Secret is gone")
    assert api.get(path).code == 200, "a finalizer holds it"
    api.patch(f"{path}/configmaps/held", {"metadata": {"finalizers": None}})
    eventually(lambda: api.get(path).code == 404, "the namespace is gone")
    assert api.delete("/api/v1/namespaces/default").message == (
        'namespaces "default" is forbidden: this namespace may not be deleted'
    )

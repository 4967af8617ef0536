"""Users: certificates by the CSR API, roles, reviews. What a real Kubernetes does (see raw_api for the real one)."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.doubles.k3s.machines import eventually
from tests.doubles.k3s.raw_api import Answer, RawApi

Obj = dict[str, Any]
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
RBAC = "rbac.authorization.k8s.io/v1"
CLIENT = "kubernetes.io/kube-apiserver-client"


def key_and_request(folder: Path, subject: str) -> tuple[bytes, bytes]:
    key = folder / "user.key"
    command = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-keyout", str(key), "-subj", subject]  # fmt: skip
    request = subprocess.run(command, capture_output=True, check=True).stdout
    return key.read_bytes(), request


def signing_request(name: str, request: bytes, **spec: object) -> Obj:
    return {
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"request": base64.b64encode(request).decode(), "signerName": CLIENT, "usages": ["client auth"],
                 **spec},
    }  # fmt: skip


def approve(api: RawApi, name: str, kind: str = "Approved") -> Answer:
    found = api.get(f"{CSRS}/{name}").body
    condition = {"type": kind, "status": "True", "reason": "Test", "message": "by a test"}
    found["status"] = {"conditions": [condition]}
    return api.put(f"{CSRS}/{name}/approval", found)


def kubeconfig_of(api_config: Path, folder: Path, key: bytes, certificate: str) -> Path:
    content = yaml.safe_load(api_config.read_text())
    content["users"][0]["user"] = {
        "client-certificate-data": certificate, "client-key-data": base64.b64encode(key).decode(),
    }  # fmt: skip
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def jane(api: RawApi, api_config: Path, tmp_path: Path) -> Iterator[RawApi]:
    """A user `jane` of the group `dev` without any role of her own."""
    name = f"{api.namespace}-jane"
    key, request = key_and_request(tmp_path, f"/O={api.namespace}-dev/CN={name}")
    made = api.post(CSRS, signing_request(name, request, expirationSeconds=3600))
    assert made.code == 201, made.body
    assert made.body["spec"]["username"] == "system:admin"
    assert set(made.body["spec"]["groups"]) == {"system:masters", "system:authenticated"}
    assert not made.body["status"].get("conditions")
    approved = approve(api, name)
    assert approved.code == 200, approved.body
    assert approved.body["status"]["conditions"][0]["lastTransitionTime"]
    certificate = eventually(
        lambda: api.get(f"{CSRS}/{name}").body["status"].get("certificate"), "the certificate is signed"
    )
    shown = subprocess.run(["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-checkend", "3400"],
                           input=base64.b64decode(certificate), capture_output=True, check=True)  # fmt: skip
    assert f"CN={name}" in shown.stdout.decode()
    assert api.delete(f"{CSRS}/{name}").code == 200
    made_for = RawApi(kubeconfig_of(api_config, tmp_path, key, certificate), api.namespace)
    yield made_for
    made_for.close()


def bind(api: RawApi, role: str, **subject: str) -> None:
    reference = {"kind": "ClusterRole", "name": role, "apiGroup": RBAC[:-3]}
    body = {"metadata": {"name": f"the-{role}"}, "roleRef": reference, "subjects": [subject]}
    made = api.post(f"{RBAC} rolebindings", body)
    assert made.code == 201, made.body


def test_a_user_may_only_what_roles_allow(api: RawApi, jane: RawApi) -> None:
    name, where = f"{api.namespace}-jane", f'in the namespace "{api.namespace}"'
    told = jane.get("v1 configmaps/cm")
    assert (told.code, told.body["reason"]) == (403, "Forbidden")
    assert told.message == (
        f'configmaps "cm" is forbidden: User "{name}" cannot get resource "configmaps" in API group "" {where}'
    )
    assert jane.get("/api/v1/nodes").message == (
        f'nodes is forbidden: User "{name}" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    assert jane.get("/metrics").message == f'forbidden: User "{name}" cannot get path "/metrics"'
    assert jane.get("/version").code == 200
    bind(api, "view", kind="Group", name=f"{api.namespace}-dev")
    eventually(lambda: jane.get("v1 configmaps").code == 200, "she may read")
    assert jane.get("v1 secrets").code == 403
    refused = jane.apply("v1 configmaps/cm", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}})
    assert refused.message == (
        f'configmaps "cm" is forbidden: User "{name}" cannot patch resource "configmaps" in API group "" {where}'
    )
    bind(api, "edit", kind="User", name=name)
    eventually(lambda: jane.post("v1 secrets", {"metadata": {"name": "s"}}).code in (201, 409), "she may write")
    assert jane.get(f"{RBAC} rolebindings").code == 403
    assert jane.get("/api/v1/secrets").code == 403


def test_reviews_say_who_asks_and_what_is_allowed(api: RawApi, jane: RawApi) -> None:
    who = jane.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert who.code == 201
    info = who.body["status"]["userInfo"]
    assert info["username"] == f"{api.namespace}-jane"
    assert set(info["groups"]) == {f"{api.namespace}-dev", "system:authenticated"}
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    wanted = {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": api.namespace}}
    assert jane.post(reviews, {"spec": wanted}).body["status"]["allowed"] is False
    assert api.post(reviews, {"spec": wanted}).body["status"]["allowed"] is True
    bind(api, "view", kind="User", name=f"{api.namespace}-jane")
    allowed = eventually(lambda: jane.post(reviews, {"spec": wanted}).body["status"].get("reason"), "she may list pods")
    assert allowed == (
        f'RBAC: allowed by RoleBinding "the-view/{api.namespace}" of ClusterRole "view" to User "{api.namespace}-jane"'
    )


def test_what_is_refused_of_requests_for_certificates(api: RawApi, tmp_path: Path) -> None:
    name = f"{api.namespace}-x"
    _, request = key_and_request(tmp_path, "/O=system:masters/CN=eve")
    refused = api.post(CSRS, signing_request(name, request))
    assert refused.code == 403
    assert refused.message == (
        f'certificatesigningrequests.certificates.k8s.io "{name}" is forbidden: use of {CLIENT} signer with '
        "system:masters group is not allowed"
    )
    _, request = key_and_request(tmp_path, "/CN=jane")
    wrong = api.post(CSRS, signing_request(name, request, expirationSeconds=60, usages=[]))
    assert wrong.message == (
        f'CertificateSigningRequest.certificates.k8s.io "{name}" is invalid: [spec.usages: Required value, '
        "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)]"
    )
    assert api.post(CSRS, signing_request(name, b"no PEM")).message.endswith(
        "PEM block type must be CERTIFICATE REQUEST"
    )
    assert api.post(CSRS, signing_request(name, request, usages=["server auth"])).code == 201
    approve(api, name)
    failed = eventually(
        lambda: [each for each in api.get(f"{CSRS}/{name}").body["status"]["conditions"] if each["type"] == "Failed"],
        "the signer refuses",
    )
    assert failed[0]["message"] == "invalid usage for client certificate: server auth"
    api.delete(f"{CSRS}/{name}")


def test_a_denied_request_gets_no_certificate(api: RawApi, tmp_path: Path) -> None:
    name = f"{api.namespace}-d"
    _, request = key_and_request(tmp_path, "/CN=jane")
    api.post(CSRS, signing_request(name, request))
    found = api.get(f"{CSRS}/{name}").body
    found["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    plain = api.put(f"{CSRS}/{name}/status", found)
    assert plain.message == (
        f'CertificateSigningRequest.certificates.k8s.io "{name}" is invalid: status.conditions: Forbidden: updates may '
        'not add a condition of type "Approved"'
    )
    assert approve(api, name, "Denied").code == 200
    both = api.get(f"{CSRS}/{name}").body
    both["status"]["conditions"].append({"type": "Approved", "status": "True"})
    assert "Approved and Denied conditions are mutually exclusive" in api.put(f"{CSRS}/{name}/approval", both).message
    api.delete(f"{CSRS}/{name}")


def test_roles_sum_up_others(api: RawApi) -> None:
    roles = f"/apis/{RBAC}/clusterroles"
    rule = {"apiGroups": [f"{api.namespace}.example.org"], "resources": ["boxes"], "verbs": ["get"]}
    body = {"metadata": {"name": f"{api.namespace}-view", "labels": {f"{RBAC[:-3]}/aggregate-to-view": "true"}},
            "rules": [rule]}  # fmt: skip
    assert api.post(roles, body).code == 201
    eventually(lambda: rule in api.get(f"{roles}/admin").body["rules"], "the role admin has the rule")
    api.delete(f"{roles}/{api.namespace}-view")
    eventually(lambda: rule not in api.get(f"{roles}/admin").body["rules"], "the role admin has lost the rule")

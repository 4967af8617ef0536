"""Users of a cluster: certificates that its API has signed, and the bindings that give them rights."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bootstrap.adapters.kube.answers import Object
from bootstrap.adapters.kube.http import KubeHttp
from bootstrap.adapters.kube.objects import kube_object, note
from bootstrap.errors import KubernetesError, UnreadableError
from bootstrap.k3s.kubeconfig.users import SIGNER, user_in
from bootstrap.model.access.users import UserBinding
from bootstrap.model.reading import Reading, each

LABEL: Final = "homelab-k8s/user"
EXPIRES: Final = "homelab-k8s/expires"
_RBAC: Final = "rbac.authorization.k8s.io"
_NOT_FOUND = 404
_CONFLICT = 409
_ATTEMPTS = 5
_USAGES = ("digital signature", "client auth")
"""The signer permits these and `key encipherment`, and demands the second (Kubernetes documentation, signers)."""


class KubernetesUsers:
    """Implements `bootstrap.ports.KubeUsers`."""

    def __init__(self, http: KubeHttp) -> None:
        self._http = http

    def request(self, name: str, request: str, *, expires_s: int) -> None:
        """See `bootstrap.ports.KubeUsers`. Raises KubernetesError, KubeUnreachableError."""
        body = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": _base64(request),
                "signerName": SIGNER,
                "expirationSeconds": expires_s,
                "usages": list(_USAGES),
            },
        }
        self._http.ask(self._http.client.certificates.create_certificate_signing_request, body)

    def approve(self, name: str, request: str) -> None:
        """See `bootstrap.ports.KubeUsers`. Raises KubernetesError, KubeUnreachableError."""
        api = self._http.client.certificates
        for _ in range(_ATTEMPTS):
            found = self._http.ask(api.read_certificate_signing_request, name).object
            if kube_object(found, what=f"read the request {name}").at("spec").at("request").text() != _base64(request):
                raise KubernetesError(f"the certificate request {name} is another's: it was not approved")
            condition = {
                "type": "Approved",
                "status": "True",
                "reason": "HomelabK8s",
                "message": "homelab-k8s kubeconfig --user",
            }
            status = found.get("status") or {}
            found["status"] = {**status, "conditions": [*(status.get("conditions") or []), condition]}
            change = api.replace_certificate_signing_request_approval
            answer = self._http.ask(change, name, found, accepted=frozenset({_CONFLICT}))
            if answer.status != _CONFLICT:
                return
        raise KubernetesError(f"the certificate request {name} is changed too often by others", details=answer.text)

    def certificate(self, name: str) -> str | None:
        """See `bootstrap.ports.KubeUsers`. Raises KubernetesError, KubeUnreachableError."""
        read = self._http.client.certificates.read_certificate_signing_request
        status = kube_object(self._http.ask(read, name).object, what=f"read the request {name}").at("status")
        for condition in status.at("conditions").items(optional=True):
            if condition.at("type").text() in ("Denied", "Failed"):
                said = f"{condition.at('reason').text('')}: {condition.at('message').text('')}"
                raise KubernetesError("Kubernetes did not sign the user's certificate", details=said)
        data = status.at("certificate")
        return None if data.absent else data.parsed(_decoded, "PEM in base64")

    def forget(self, name: str) -> None:
        """See `bootstrap.ports.KubeUsers`. Raises KubernetesError, KubeUnreachableError."""
        delete = self._http.client.certificates.delete_certificate_signing_request
        self._http.ask(delete, name, accepted=frozenset({_NOT_FOUND}))

    def bind(self, binding: UserBinding) -> None:
        """See `bootstrap.ports.KubeUsers`. Raises KubernetesError, KubeUnreachableError."""
        rbac, body = self._http.client.rbac, _rendered(binding)
        if binding.namespace is None:
            self._http.ask(rbac.create_cluster_role_binding, body)
        else:
            self._http.ask(rbac.create_namespaced_role_binding, binding.namespace, body)

    def bindings(self) -> tuple[UserBinding, ...]:
        """See `bootstrap.ports.KubeUsers`. Raises KubernetesError, KubeUnreachableError."""
        rbac = self._http.client.rbac
        found: list[UserBinding] = []
        for listing in (rbac.list_cluster_role_binding, rbac.list_role_binding_for_all_namespaces):
            answer = kube_object(self._http.ask(listing, label_selector=LABEL).object, what="list the users")
            found += each(answer.at("items").items(optional=True), _parsed, note)
        return tuple(sorted(found, key=lambda binding: (binding.user, binding.name)))

    def unbind(self, binding: UserBinding) -> None:
        """See `bootstrap.ports.KubeUsers`. Raises KubernetesError, KubeUnreachableError."""
        rbac, gone = self._http.client.rbac, frozenset({_NOT_FOUND})
        if binding.namespace is None:
            self._http.ask(rbac.delete_cluster_role_binding, binding.name, accepted=gone)
        else:
            self._http.ask(rbac.delete_namespaced_role_binding, binding.name, binding.namespace, accepted=gone)


def _rendered(binding: UserBinding) -> Object:
    annotations: Mapping[str, str] = {EXPIRES: binding.expires.isoformat()} if binding.expires else {}
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding" if binding.namespace is None else "RoleBinding",
        "metadata": {
            "name": binding.name,
            "labels": {"app.kubernetes.io/managed-by": "homelab-k8s", LABEL: binding.user},
            "annotations": dict(annotations),
        },
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": binding.group},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": binding.subject}],
    }


def _parsed(item: Reading) -> UserBinding:
    """A binding of ours. Raises UnreadableError for another's with our label."""
    metadata, subjects = item.at("metadata"), item.at("subjects").items(optional=True)
    subject = subjects[0].at("name").text() if len(subjects) == 1 else ""
    user = user_in(subject)
    if user is None:
        raise item.at("subjects").wrong("the only user of an issued kubeconfig")
    binding = UserBinding(
        user=user,
        subject=subject,
        group=item.at("roleRef").at("name").text(),
        namespace=metadata.at("namespace").text("") or None,
        expires=_time(metadata.at("annotations").at(EXPIRES)),
    )
    if metadata.at("name").text() != binding.name:
        raise metadata.at("name").wrong(binding.name)
    return binding


def _time(told: Reading) -> datetime | None:
    try:
        found = None if told.absent else told.parsed(datetime.fromisoformat, "a time")
    except UnreadableError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _decoded(text: str) -> str:
    return base64.b64decode(text, validate=True).decode("ascii")

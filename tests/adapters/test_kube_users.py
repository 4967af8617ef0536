"""Users over a small real API on loopback: a certificate asked for, approved and read, and bindings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bootstrap.adapters.kube import KubernetesApis
from bootstrap.adapters.kube.users import KubernetesUsers
from bootstrap.errors import KubernetesError
from bootstrap.k3s.kubeconfig.users import UserKey, make_user_key, read_certificate
from bootstrap.model.access.users import UserBinding
from tests.adapters.kube_server import KubeServer

SUBJECT = "homelab:ann:0a1b2c3d"
NAME = "homelab-k8s-ann-0a1b2c3d"
ANN = UserBinding(user="ann", subject=SUBJECT, group="view", expires=datetime(2026, 11, 30, 8, tzinfo=UTC))
WEB = UserBinding(user="bob", subject="homelab:bob:00000001", group="edit", namespace="web")


@pytest.fixture
def server() -> Iterator[KubeServer]:
    server = KubeServer()
    yield server
    server.stop()


@pytest.fixture
def users(server: KubeServer) -> Iterator[KubernetesUsers]:
    api = KubernetesApis().connect(server.kubeconfig)
    yield api.users
    api.close()


def asked(users: KubernetesUsers) -> UserKey:
    key = make_user_key(SUBJECT)
    users.request(NAME, key.request, expires_s=3600)
    return key


def test_a_certificate_is_signed_once_it_is_approved_and_the_request_forgotten(
    server: KubeServer, users: KubernetesUsers
) -> None:
    key = asked(users)
    assert [users.certificate(NAME), users.certificate(NAME)] == [None, None]
    server.users.conflicts = 2
    users.approve(NAME, key.request)
    assert users.certificate(NAME) is None, "the signer takes its time"
    pem = users.certificate(NAME)
    assert pem is not None
    assert read_certificate(pem, key=key, subject=SUBJECT).expires > datetime.now(UTC)
    users.forget(NAME)
    users.forget(NAME)
    assert server.users.requests == {}


def test_a_request_that_is_anothers_is_not_approved(server: KubeServer, users: KubernetesUsers) -> None:
    asked(users)
    with pytest.raises(KubernetesError, match="another's"):
        users.approve(NAME, make_user_key(SUBJECT).request)
    assert server.users.requests[NAME]["status"] == {}


def test_one_that_changes_all_the_time_is_given_up(server: KubeServer, users: KubernetesUsers) -> None:
    key = asked(users)
    server.users.conflicts = 99
    with pytest.raises(KubernetesError, match="changed too often"):
        users.approve(NAME, key.request)


def test_a_refusal_has_the_apis_words(server: KubeServer, users: KubernetesUsers) -> None:
    key = asked(users)
    server.users.denies = True
    users.approve(NAME, key.request)
    with pytest.raises(KubernetesError, match="did not sign") as refused:
        users.certificate(NAME)
    assert refused.value.details == "Policy: not here"


def test_a_time_that_is_too_short_is_refused_by_the_api(users: KubernetesUsers) -> None:
    with pytest.raises(KubernetesError) as refused:
        users.request(NAME, make_user_key(SUBJECT).request, expires_s=599)
    assert "less than 600 seconds" in refused.value.details


def test_bindings_are_written_listed_and_removed(server: KubeServer, users: KubernetesUsers) -> None:
    for binding in (WEB, ANN):
        users.bind(binding)
    assert users.bindings() == (ANN, WEB)
    written = server.users.bindings["clusterrolebindings/homelab-k8s-ann-0a1b2c3d"]
    assert written["subjects"] == [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": SUBJECT}]
    assert written["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    for binding in (WEB, ANN, WEB):
        users.unbind(binding)
    assert (users.bindings(), server.users.bindings) == ((), {})


def test_a_namespace_that_is_not_there_is_told(users: KubernetesUsers) -> None:
    with pytest.raises(KubernetesError) as refused:
        users.bind(replace(WEB, namespace="nowhere"))
    assert refused.value.details == 'namespaces "nowhere" not found'


@pytest.mark.parametrize(
    "change",
    [
        {"subjects": [{"kind": "Group", "name": "system:masters"}]},
        {"subjects": []},
        {"subjects": [{"kind": "User", "name": SUBJECT}, {"kind": "User", "name": "eve"}]},
        {"subjects": None},
        {"metadata": {"name": "cluster-admin", "labels": {"homelab-k8s/user": "ann"}}},
        {"roleRef": "view"},
    ],
)
def test_what_is_not_as_ours_is_passed_over_and_never_removed(
    server: KubeServer, users: KubernetesUsers, change: dict[str, object]
) -> None:
    users.bind(ANN)
    server.users.bindings["clusterrolebindings/homelab-k8s-ann-0a1b2c3d"] |= change
    users.bind(WEB)
    assert users.bindings() == (WEB,)


def test_a_time_that_somebody_has_broken_is_unknown(server: KubeServer, users: KubernetesUsers) -> None:
    users.bind(ANN)
    (written,) = server.users.bindings.values()
    written["metadata"]["annotations"] = {"homelab-k8s/expires": "soon"}
    assert users.bindings() == (replace(ANN, expires=None),)

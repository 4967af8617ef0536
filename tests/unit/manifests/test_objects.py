"""Order, readiness, differences and the ApplySet of objects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.manifests.applyset import (
    GROUP_KINDS,
    ID,
    OWN_ID,
    TOOLING,
    NotOursError,
    Scope,
    applyset_id,
    as_member,
    member_of,
    parent_object,
    scope_of,
)
from bootstrap.manifests.difference import changes_of
from bootstrap.manifests.order import in_waves, loses_data, pruned_in_order, wave_of
from bootstrap.manifests.readiness import not_ready
from bootstrap.manifests.values import GroupKind, Manifest, Object, ObjectId, Place

KINDS = st.sampled_from(
    [
        "v1/Namespace", "v1/ConfigMap", "v1/Service", "apps/v1/Deployment", "apiregistration.k8s.io/v1/APIService",
        "apiextensions.k8s.io/v1/CustomResourceDefinition", "example.org/v1/Film", "helm.cattle.io/v1/HelmChart",
    ]
)  # fmt: skip


def manifest(kind: str, name: str = "a", namespace: str = "") -> Manifest:
    version, _, word = kind.rpartition("/")
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return Manifest(body={"apiVersion": version, "kind": word, "metadata": metadata}, place=Place(file="a", line=1))


@given(st.lists(KINDS, max_size=12))
def test_waves_hold_everything_once_and_pruning_is_the_other_way_round(kinds: list[str]) -> None:
    all_of = [manifest(kind, f"n{number}") for number, kind in enumerate(kinds)]
    waves = in_waves(all_of)
    assert sorted(each.name for wave in waves for each in wave) == sorted(each.name for each in all_of)
    assert len(waves) <= 3
    there = [wave_of(each.group_kind) for wave in waves for each in wave]
    back = [wave_of(each.group_kind) for each in pruned_in_order(each.id_in(namespaced=False) for each in all_of)]
    assert there == sorted(there)
    assert back == there[::-1]


def test_what_others_need_comes_first() -> None:
    kinds = [
        "example.org/v1/Film",
        "apiregistration.k8s.io/v1/APIService",
        "apps/v1/Deployment",
        "v1/Secret",
        "v1/Namespace",
    ]
    assert [[each.body["kind"] for each in wave] for wave in in_waves(map(manifest, kinds))] == [
        ["Namespace"], ["Secret", "Deployment", "APIService"], ["Film"],
    ]  # fmt: skip


def test_which_objects_hold_data() -> None:
    def holds(kind: str, **more: object) -> bool:
        found = manifest(kind)
        return loses_data({**found.body, **more}, found.group_kind)

    assert [
        kind
        for kind in ("v1/Namespace", "v1/PersistentVolumeClaim", "example.org/v1/Film", "helm.cattle.io/v1/HelmChart")
        if not holds(kind)
    ] == []
    assert [
        kind for kind in ("v1/ConfigMap", "v1/Secret", "apps/v1/Deployment", "apps/v1/StatefulSet") if holds(kind)
    ] == []
    assert holds("apps/v1/StatefulSet", spec={"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}})


def test_the_id_is_the_one_that_kubectl_computes() -> None:
    """kubernetes/kubernetes staging/src/k8s.io/kubectl/pkg/cmd/apply/apply_test.go, Secret my-set in test."""
    assert (
        applyset_id("my-set", "test", GroupKind("", "Secret"))
        == "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1"
    )


def test_the_parent_says_where_members_are() -> None:
    ids = [
        each.id_in(namespaced=True) for each in (manifest("v1/Secret", namespace="b"), manifest("apps/v1/Deployment"))
    ]
    parent = parent_object(Scope.of(ids), version="1.2.3")
    assert parent["metadata"]["annotations"] == {
        TOOLING: "homelab-k8s/v1.2.3", GROUP_KINDS: "Deployment.apps,Secret",
        "applyset.kubernetes.io/additional-namespaces": "b,default",
    }  # fmt: skip
    assert scope_of(parent) == Scope.of(ids) | Scope(namespaces=frozenset({"kube-system"}))
    assert scope_of(None) == Scope()


@pytest.mark.parametrize(
    ("labels", "tool"),
    [({ID: OWN_ID}, "kubectl/v1.36"), ({ID: "x"}, "homelab-k8s/v1"), ({}, "homelab-k8s/v1"), ({}, "")],
)
def test_a_parent_of_others_is_not_taken(labels: dict[str, str], tool: str) -> None:
    with pytest.raises(NotOursError):
        scope_of({"metadata": {"labels": labels, "annotations": {TOOLING: tool} if tool else None}})


def test_members_carry_the_label_beside_their_own() -> None:
    body = manifest("v1/Secret").body | {"metadata": {"name": "a", "labels": {"app": "x"}}}
    assert member_of(as_member(body)) == OWN_ID
    assert as_member(body)["metadata"]["labels"]["app"] == "x"
    assert member_of(body) == member_of({}) == ""


READY: dict[str, Any] = {"conditions": [{"type": "Available", "status": "True"}]}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "problem"),
    [
        ("apps/v1/Deployment", {"replicas": 2}, {"replicas": 2, "updatedReplicas": 1}, "1 of 2 pods are updated"),
        ("apps/v1/Deployment", {}, {"replicas": 2, "updatedReplicas": 1}, "1 old pods are still there"),
        ("apps/v1/Deployment", {}, {"replicas": 1, "updatedReplicas": 1}, "0 of 1 pods are available"),
        ("apps/v1/Deployment", {}, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, **READY}, None),
        ("apps/v1/Deployment", {"replicas": 0}, {}, None),
        ("apps/v1/Deployment", {"paused": True}, {}, None),
        ("apps/v1/Deployment", {}, {"observedGeneration": 1}, "its controller has not seen the change yet"),
        ("apps/v1/DaemonSet", {}, {"desiredNumberScheduled": 2}, "0 of 2 pods are updated"),
        (
            "apps/v1/DaemonSet", {}, {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1},
            "1 of 2 pods are available",
        ),
        ("apps/v1/DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, {"desiredNumberScheduled": 2}, None),
        ("apps/v1/StatefulSet", {"replicas": 3}, {"readyReplicas": 2}, "2 of 3 pods are ready"),
        ("apps/v1/StatefulSet", {"replicas": 3}, {"readyReplicas": 3, "updatedReplicas": 2}, "2 of 3 pods are updated"),
        (
            "apps/v1/StatefulSet", {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            {"readyReplicas": 3, "updatedReplicas": 2}, None,
        ),
        ("batch/v1/Job", {}, {"conditions": [{"type": "Complete", "status": "True"}]}, None),
        ("batch/v1/Job", {}, {}, "not Complete"),
        ("batch/v1/Job", {}, {"conditions": [{"type": "Failed", "status": "True", "message": "x"}]}, "failed: x"),
        ("batch/v1/Job", {"suspend": True}, {}, None),
        (
            "apiregistration.k8s.io/v1/APIService", {}, {"conditions": [{"type": "Available", "reason": "Down"}]},
            "not Available: Down",
        ),
        (
            "apiextensions.k8s.io/v1/CustomResourceDefinition", {},
            {"conditions": [{"type": "NamesAccepted", "status": "False", "message": "taken"}]},
            "its names are not accepted: taken",
        ),
        ("v1/Namespace", {}, {"phase": "Terminating"}, "it is being deleted"),
        ("v1/Namespace", {}, {"phase": "Active"}, None),
        ("helm.cattle.io/v1/HelmChart", {}, {}, None),
        ("v1/ConfigMap", {}, {}, None),
    ],
)  # fmt: skip
def test_when_an_object_is_ready(kind: str, spec: Object, status: Object, problem: str | None) -> None:
    body = {**manifest(kind).body, "spec": spec, "status": status}
    if "observedGeneration" in status:
        body["metadata"]["generation"] = 2
    found = not_ready(body)
    assert (found.problem if found is not None else None) == problem


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_an_object_of_odd_form_raises_nothing(odd: object) -> None:
    for kind in ("apps/v1/Deployment", "apps/v1/DaemonSet", "apps/v1/StatefulSet", "batch/v1/Job", "v1/Namespace"):
        version, _, word = kind.rpartition("/")
        not_ready({"apiVersion": version, "kind": word, "metadata": odd, "spec": odd, "status": odd})


def told(before: Object, after: Object, kind: str = "ConfigMap") -> list[tuple[str, str, str]]:
    head = {"apiVersion": "v1", "kind": kind}
    return [(each.path, each.before, each.after) for each in changes_of({**head, **before}, {**head, **after})]


def test_differences_by_field() -> None:
    before = {"metadata": {"name": "a", "uid": "1", "managedFields": [1], "labels": {"a.b/c": "x"}}, "status": {"x": 1}}
    assert told(before, {"metadata": {"name": "a", "labels": {"a.b/c": "y"}}}) == [
        ('metadata.labels["a.b/c"]', '"x"', '"y"')
    ]
    assert told({"data": {"a": "1", "b": "2"}}, {"data": {"b": "2", "c": {"d": True}}}) == [
        ("data.a", '"1"', ""), ("data.c.d", "", "true"),
    ]  # fmt: skip
    assert told({"x": 1}, {"x": True}) == [("x", "1", "true")]
    containers = [{"name": "one", "image": "a"}, {"name": "two", "image": "b"}]
    assert told({"spec": containers}, {"spec": [containers[1], {"name": "one", "image": "c"}]}) == [
        ("spec[one].image", '"a"', '"c"')
    ]
    assert told({"args": ["a", "b"]}, {"args": ["a"]}) == [("args[1]", '"b"', "")]
    assert told({}, {}) == []


def test_what_a_secret_holds_is_never_shown() -> None:
    before = {
        "data": {"password": "b2xk"},
        "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "b2xk"}},
    }
    after = {"data": {"password": "bmV3"}, "stringData": {"x": "new"}, "metadata": {"annotations": {}}}
    shown = told(before, after, "Secret")
    assert [path for path, _, _ in shown] == [
        "data.password", 'metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]', "stringData.x",
    ]  # fmt: skip
    assert "b2xk" not in str(shown)
    assert "new" not in str(shown)
    assert "bmV3" not in str(shown)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=3),
        st.recursive(
            st.integers() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=3)
            ),
            max_leaves=6,
        ),
    )
)
def test_an_object_does_not_differ_from_itself(data: Object) -> None:
    assert told({"data": data}, {"data": data}) == []
    if data:
        assert told({"data": data}, {}) != []
        assert told({}, {"data": data}) != []


def test_objects_are_named_as_users_know_them() -> None:
    assert str(ObjectId(group="apps", kind="Deployment", namespace="media", name="server")) == "Deployment media/server"
    assert str(ObjectId(group="", kind="Namespace", namespace="", name="media")) == "Namespace media"
    assert GroupKind.parse("Deployment.apps") == GroupKind("apps", "Deployment")
    assert str(GroupKind.parse("Film.example.org")) == "Film.example.org"
    assert GroupKind.parse("ConfigMap") == GroupKind("", "ConfigMap")

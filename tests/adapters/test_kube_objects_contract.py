"""Server-side apply of objects of any kind: the tests' fake and the stand-in's API, through the client, do the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bootstrap.adapters.kube import KubernetesApis
from bootstrap.adapters.kube.api import KubernetesApi
from bootstrap.k3s.kubeconfig.build import build_kubeconfig
from bootstrap.manifests.values import GroupKind, Object, ObjectId
from bootstrap.ports import KubeObjects
from bootstrap.ports.manifests import Applied, Conflicting, KindFacts, NotTaken
from tests.doubles.k3s.machines import Machines, eventually
from tests.fakes.world.objects import ObjectStore

MAPS = GroupKind("", "ConfigMap")
FILMS = GroupKind("example.org", "Film")
DEFINITION: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "films.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Film", "plural": "films", "singular": "film"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    machines = Machines(tmp_path_factory.mktemp("k3s"))
    server = machines.server("s1")
    text = build_kubeconfig(server.kubeconfig.read_text(), name="demo", server_url=server.url, source="s1")
    api = KubernetesApis().connect(text)
    yield api
    api.close()
    machines.stop()


@pytest.fixture(params=["fake", "stand-in"])
def objects(request: pytest.FixtureRequest) -> KubeObjects:
    if request.param == "fake":
        return ObjectStore()
    api: KubernetesApi = request.getfixturevalue("stand_in")
    return api.objects


def config_map(name: str, **data: str) -> Object:
    labels = {"set": "ours"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data}


def facts(objects: KubeObjects, kind: GroupKind = MAPS) -> KindFacts:
    found = objects.kind(kind, "v1")
    assert found is not None
    return found


def applied(objects: KubeObjects, body: Object, **how: bool) -> Object:
    answer = objects.apply(facts(objects), body, namespace="default", **how)
    assert isinstance(answer, Applied), answer
    return answer.body


def data_of(objects: KubeObjects, name: str) -> object:
    found = objects.get(facts(objects), "default", name)
    return found["data"] if found is not None else None


def test_a_dry_run_stores_nothing(objects: KubeObjects) -> None:
    assert applied(objects, config_map("dry", a="1"), dry_run=True)["data"] == {"a": "1"}
    assert data_of(objects, "dry") is None


def test_what_is_applied_twice_does_not_change(objects: KubeObjects) -> None:
    applied(objects, config_map("twice", a="1"))
    there = objects.get(facts(objects), "default", "twice")
    assert applied(objects, config_map("twice", a="1"), dry_run=True) == there
    assert applied(objects, config_map("twice", a="2"), dry_run=True) != there


def test_a_field_that_is_no_longer_applied_goes(objects: KubeObjects) -> None:
    applied(objects, config_map("fields", a="1", b="2"))
    applied(objects, config_map("fields", a="1"))
    assert data_of(objects, "fields") == {"a": "1"}


def test_fields_of_others_are_a_conflict_unless_forced(objects: KubeObjects) -> None:
    applied(objects, config_map("shared", a="1"))
    by_another(objects, config_map("shared", a="theirs"))
    answer = objects.apply(facts(objects), config_map("shared", a="1"), namespace="default")
    assert isinstance(answer, Conflicting)
    assert [(owner.path, owner.manager) for owner in answer.owners] == [("data.a", "another")]
    applied(objects, config_map("shared", a="1"), force=True)
    assert data_of(objects, "shared") == {"a": "1"}


def by_another(objects: KubeObjects, body: Object) -> None:
    """Another manager's change."""
    if isinstance(objects, ObjectStore):
        metadata = {**body["metadata"], "namespace": "default"}
        objects.put({**body, "metadata": metadata}, manager="another")
        return
    http = objects._http  # type: ignore[attr-defined]
    query = {"fieldManager": "another", "force": "true"}
    path = f"/api/v1/namespaces/default/configmaps/{body['metadata']['name']}"
    http.ask(http.client.send, "PATCH", path, query=query, body=body, content_type="application/apply-patch+yaml")


def test_a_namespace_that_is_not_there_is_said_so(objects: KubeObjects) -> None:
    answer = objects.apply(facts(objects), config_map("lost"), namespace="nowhere")
    assert isinstance(answer, NotTaken)
    assert answer.absent
    assert answer.said == 'namespaces "nowhere" not found'


def test_members_are_found_by_their_label_and_deleted_by_uid(objects: KubeObjects) -> None:
    applied(objects, config_map("member", a="1"))
    found = {each["metadata"]["name"]: each for each in objects.labelled(facts(objects), {"set": "ours"})}
    assert "member" in found
    assert objects.labelled(facts(objects), {"set": "theirs"}) == ()
    identity = ObjectId(group="", kind="ConfigMap", namespace="default", name="member")
    assert objects.delete(facts(objects), identity, uid="another") is False
    assert objects.delete(facts(objects), identity, uid=found["member"]["metadata"]["uid"]) is True
    assert objects.delete(facts(objects), identity, uid="gone") is False
    assert data_of(objects, "member") is None


def test_a_definition_brings_its_kind(objects: KubeObjects) -> None:
    assert objects.kind(FILMS, "v1") is None
    definitions = facts(objects, GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"))
    assert not definitions.namespaced
    assert isinstance(objects.apply(definitions, DEFINITION, namespace=""), Applied)
    found = eventually(lambda: objects.kind(FILMS), "the kind is served")
    assert found is not None
    assert found == KindFacts(kind=FILMS, version="v1", plural="films", namespaced=True)
    film = {"apiVersion": "example.org/v1", "kind": "Film", "metadata": {"name": "alien"}}
    assert isinstance(objects.apply(found, film, namespace="default"), Applied)
    assert objects.kind(FILMS, "v2") is None

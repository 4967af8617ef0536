"""`manifests`: applied in waves as the files say, seen as drift, pruned when they are taken from the list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.manifests.apply import ApplyTheManifests
from bootstrap.commands.manifests.looking import manifests_diff
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, KubernetesError, PreflightError
from bootstrap.execution.context import Timeouts
from bootstrap.manifests.applyset import GROUP_KINDS, NAMESPACES, PARENT_NAME, PARENT_NAMESPACE
from bootstrap.manifests.errors import ManifestsError
from bootstrap.manifests.values import Change, ManifestObjects, ManifestPath, Object, ObjectId
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.plan import Plan
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.fakes.world.objects import ObjectStore

FILE = "/home/you/media.yaml"
SPEC = replace(cluster(1, 1), manifests=(ManifestPath(path=Path(FILE), shown="media.yaml"),))
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: media}\n"
SETTINGS = """---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: media}
data: {level: info}
"""
SERVER = """---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: media}
spec: {replicas: 2}
"""
VOLUME = """---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: films, namespace: media}
spec: {storageClassName: local-path}
"""
KIND = """---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: films.example.org}
spec: {group: example.org, scope: Namespaced, names: {kind: Film, plural: films}, versions: [{name: v1}]}
"""
FILM = "---\napiVersion: example.org/v1\nkind: Film\nmetadata: {name: alien, namespace: media}\n"
ALL = (NAMESPACE, SETTINGS, SERVER)


def built(*documents: str, spec: ClusterSpec = SPEC) -> World:
    """A cluster to which these are applied."""
    world = World()
    write(world, *documents)
    run(world, Up(), spec)
    world.objects.journal.clear()
    return world


def write(world: World, *documents: str) -> None:
    world.manifests.files[FILE] = "".join(documents)


def run(world: World, verb: Up | ApplyTheManifests, spec: ClusterSpec = SPEC, *, objects_s: float = 60.0) -> Plan:
    options = RunOptions(timeouts=Timeouts(objects_s=objects_s))
    plan = verb.plan(spec, world.ports)
    if not plan.empty:
        verb.run(plan, spec, world.ports, sink=lambda _event: None, options=options)
    return plan


def apply(world: World, *, force: bool = False) -> Plan:
    return run(world, ApplyTheManifests(force=force))


def changes(world: World) -> list[tuple[str, str]]:
    return [(each.change.value, str(each.id)) for each in manifests_diff(SPEC, world.ports).changes]


def the_parent(world: World) -> dict[str, str]:
    found: Object = world.objects.objects[
        ObjectId(group="", kind="ConfigMap", namespace=PARENT_NAMESPACE, name=PARENT_NAME)
    ]
    annotations: dict[str, str] = found["metadata"]["annotations"]
    return annotations


def config_map(name: str = "settings", namespace: str = "media") -> ObjectId:
    return ObjectId(group="", kind="ConfigMap", namespace=namespace, name=name)


def test_up_applies_them_once_the_machines_are_ready() -> None:
    world = World()
    write(world, *ALL)
    plan = run(world, Up())
    assert plan.lanes[-1].name == "manifests"
    assert plan.lanes[-1].steps[0].step.title == "apply 3 objects"
    assert [each for each in world.objects.journal if "kube-system" not in each] == [
        "create Namespace media", "create ConfigMap media/settings", "create Deployment media/server",
    ]  # fmt: skip
    assert the_parent(world)[GROUP_KINDS] == "ConfigMap,Deployment.apps,Namespace"
    assert the_parent(world)[NAMESPACES] == "media"
    assert Up().plan(SPEC, world.ports).empty
    assert cluster_status(SPEC, world.ports).healthy
    assert apply(world).empty


def test_a_changed_file_is_drift_and_only_that_is_applied() -> None:
    world = built(*ALL)
    write(world, NAMESPACE, SETTINGS.replace("info", "debug"), SERVER)
    (told,) = cluster_status(SPEC, world.ports).problems
    assert told == (
        "manifests: 1 changed of 3 objects: `homelab-k8s manifests diff` shows them, `homelab-k8s up` applies them"
    )
    (change,) = manifests_diff(SPEC, world.ports).changes
    assert [(each.path, each.before, each.after) for each in change.fields] == [("data.level", '"info"', '"debug"')]
    assert str(change.place) == "media.yaml:5"
    plan = run(world, Up())
    assert plan.lanes[-1].steps[0].step.title == "change ConfigMap media/settings"
    assert world.objects.journal == ["change ConfigMap media/settings"]
    assert world.objects.objects[config_map()]["data"] == {"level": "debug"}


def test_what_was_changed_or_deleted_by_hand_is_drift() -> None:
    world = built(*ALL)
    del world.objects.objects[ObjectId(group="apps", kind="Deployment", namespace="media", name="server")]
    assert changes(world) == [("create", "Deployment media/server")]
    apply(world)
    assert changes(world) == []


def test_objects_taken_from_the_list_are_pruned_and_no_others() -> None:
    world = built(*ALL)
    world.objects.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own", "namespace": "media"}})
    write(world, NAMESPACE)
    assert changes(world) == [("prune", "Deployment media/server"), ("prune", "ConfigMap media/settings")]
    run(world, Up())
    assert [each for each in world.objects.journal if each.startswith("delete")] == [
        "delete Deployment media/server", "delete ConfigMap media/settings",
    ]  # fmt: skip
    assert "ConfigMap media/own" in world.objects.names("ConfigMap")
    assert the_parent(world)[GROUP_KINDS] == "Namespace"
    assert Up().plan(SPEC, world.ports).empty


def test_data_is_lost_only_where_the_user_has_seen_that() -> None:
    world = built(*ALL, VOLUME)
    write(world, NAMESPACE)
    run(world, Up())
    assert world.objects.names("PersistentVolumeClaim") == ["PersistentVolumeClaim media/films"]
    (told,) = cluster_status(SPEC, world.ports).problems
    assert told.startswith("PersistentVolumeClaim media/films is no longer in the manifests, and kept")
    left = Up().plan(SPEC, world.ports)
    assert left.empty
    assert left.notes == (told,)
    verb = ApplyTheManifests()
    shown = verb.plan(SPEC, world.ports)
    write(world)
    verb.run(shown, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert world.objects.names("PersistentVolumeClaim", "Namespace") == ["Namespace media"], "shown later than asked"
    apply(world)
    assert world.objects.names("Namespace", "ConfigMap") == [f"ConfigMap kube-system/{PARENT_NAME}"]
    assert the_parent(world)[GROUP_KINDS] == ""


def test_a_bad_object_stops_its_wave_and_names_the_file_and_the_line() -> None:
    world = built(NAMESPACE)
    world.objects.refuses["server"] = 'Deployment.apps "server" is invalid: spec.selector: Required value'
    write(world, *ALL)
    for verb in (Up(), ApplyTheManifests()):
        with pytest.raises(PreflightError) as caught:
            verb.plan(SPEC, world.ports)
        assert caught.value.details == (
            'media.yaml:10: Deployment media/server: Deployment.apps "server" is invalid: spec.selector: Required value'
        )
    assert world.objects.journal == []
    (told,) = (each for each in cluster_status(SPEC, world.ports).problems if "Required" in each)
    assert told.startswith("media.yaml:10: Deployment media/server")


def test_at_birth_a_bad_object_is_found_after_the_first_wave() -> None:
    world = World()
    world.objects.refuses["server"] = "spec.selector: Required value"
    write(world, *ALL)
    with pytest.raises(KubernetesError) as caught:
        run(world, Up())
    error = caught.value
    assert error.brief == "manifests: 1 object refused; nothing of this wave was applied"
    assert error.details == "media.yaml:10: Deployment media/server: spec.selector: Required value"
    assert world.objects.names("Namespace", "ConfigMap", "Deployment") == [
        f"ConfigMap kube-system/{PARENT_NAME}", "Namespace media",
    ]  # fmt: skip
    del world.objects.refuses["server"]
    run(world, Up())
    assert world.objects.names("Deployment") == ["Deployment media/server"]


def test_bad_files_are_refused_before_a_machine_is_made() -> None:
    world = World()
    world.manifests.files[FILE] = "kind: ConfigMap\n---\n[1]\n"
    with pytest.raises(ManifestsError) as caught:
        Up().plan(SPEC, world.ports)
    assert caught.value.exit_code == 3
    assert caught.value.details.splitlines() == [
        "media.yaml:1: has no apiVersion (such as apiVersion: apps/v1)",
        "media.yaml:1: has no metadata (it has at least a name)",
        "media.yaml:3: is not an object (an object begins with apiVersion and kind)",
    ]
    world = built(*ALL)
    world.manifests.files.clear()
    assert "media.yaml: does not exist" in cluster_status(SPEC, world.ports).problems[0]


def test_fields_of_others_are_shown_and_taken_over_only_on_request() -> None:
    world = built(*ALL)
    there = world.objects.objects[config_map()]
    world.objects.put({**there, "data": {"level": "trace"}}, manager="kubectl-edit")
    with pytest.raises(PreflightError) as caught:
        apply(world)
    assert caught.value.details == "media.yaml:5: ConfigMap media/settings: data.level is managed by kubectl-edit"
    assert "--force-conflicts" in caught.value.resolution
    (change,) = manifests_diff(SPEC, world.ports).changes
    assert change.change is Change.CONFLICT
    apply(world, force=True)
    assert world.objects.objects[config_map()]["data"] == {"level": "info"}
    assert apply(world).empty


def test_a_kind_and_objects_of_it_in_one_go() -> None:
    world = built(*ALL, FILM, KIND)
    assert world.objects.names("Film") == ["Film media/alien"]
    write(world, *ALL)
    seen = manifests_diff(SPEC, world.ports)
    assert [(str(each.id), each.loses_data) for each in seen.of(Change.PRUNE)] == [
        ("Film media/alien", True), ("CustomResourceDefinition films.example.org", True),
    ]  # fmt: skip
    apply(world)
    assert world.objects.names("Film", "CustomResourceDefinition") == []


def test_a_kind_that_nothing_brings_is_refused() -> None:
    world = built(NAMESPACE)
    write(world, NAMESPACE, FILM)
    with pytest.raises(PreflightError, match="would not take 1 object") as caught:
        apply(world)
    assert caught.value.details == ("media.yaml:5: Film media/alien: Kubernetes has no kind Film in example.org/v1")


def test_a_webhook_that_starts_is_waited_for() -> None:
    world = built(NAMESPACE)
    world.objects.busy["settings"] = 3
    write(world, *ALL)
    apply(world)
    assert world.objects.names("Deployment") == ["Deployment media/server"]


def test_one_that_does_not_come_up_is_named_and_the_rest_is_kept() -> None:
    world = built(NAMESPACE)
    world.objects.stuck.add("server")
    write(world, *ALL)
    with pytest.raises(HomelabError) as caught:
        apply(world)
    assert "timed out waiting for Deployment media/server" in str(caught.value)
    assert "0 of 2 pods are available" in caught.value.details
    world.objects.stuck.clear()
    there = world.objects.objects.pop(ObjectId(group="apps", kind="Deployment", namespace="media", name="server"))
    assert there
    apply(world)
    assert changes(world) == []


def test_a_run_that_died_in_the_middle_is_continued_and_leaks_nothing() -> None:
    world = built(NAMESPACE)
    write(world, *ALL)
    world.objects.die_at = ("server", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        apply(world)
    assert world.objects.names("ConfigMap", "Deployment")[-1] == "ConfigMap media/settings"
    world.objects.die_at = None
    write(world, NAMESPACE)
    assert changes(world) == [("prune", "ConfigMap media/settings")]
    apply(world)
    assert changes(world) == []


def test_an_object_of_another_applyset_is_left_alone() -> None:
    world = built(NAMESPACE)
    labels = {"applyset.kubernetes.io/part-of": "applyset-theirs-v1"}
    world.objects.put(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": "media", "labels": labels},
        }
    )
    write(world, NAMESPACE, SETTINGS)
    with pytest.raises(PreflightError) as caught:
        run(world, ApplyTheManifests(force=True))
    assert "in another ApplySet, applyset-theirs-v1" in caught.value.details


def test_a_parent_of_another_tool_stops_all() -> None:
    world = built(NAMESPACE)
    the_parent(world)["applyset.kubernetes.io/tooling"] = "kubectl/v1.36"
    with pytest.raises(KubernetesError, match="another tool's"):
        apply(world)


def test_without_the_key_nothing_is_looked_at() -> None:
    world = built(*ALL)
    bare = replace(SPEC, manifests=None)
    assert Up().plan(bare, world.ports).empty
    assert cluster_status(bare, world.ports).healthy
    with pytest.raises(PreflightError, match="has no manifests"):
        ApplyTheManifests().plan(bare, world.ports)


def test_the_api_may_stay_away_for_a_moment() -> None:
    world = built(NAMESPACE)
    write(world, *ALL)
    verb = ApplyTheManifests()
    plan = verb.plan(SPEC, world.ports)
    world.hiccups = 0
    step = plan.lanes[-1].steps[0].step
    assert step.title == "create ConfigMap media/settings, Deployment media/server"
    verb.run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert changes(world) == []


CCM = ManifestObjects(
    shown="addon ccm",
    objects=({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ccm"}, "data": {"a": "1"}},),
    early=True,
    birth="nodes have k3s's own providerID",
)


def test_what_k3s_applied_at_the_first_start_is_taken_over() -> None:
    spec = replace(SPEC, manifests=(CCM,))
    world = World()
    world.objects.put({**CCM.objects[0], "data": {"a": "old"}, "metadata": {"name": "ccm", "namespace": "default"}})
    run(world, Up(), spec)
    assert world.objects.objects[config_map("ccm", "default")]["data"] == {"a": "1"}
    assert Up().plan(spec, world.ports).empty


def test_what_has_to_be_there_from_birth_is_refused_later() -> None:
    world = built(NAMESPACE)
    spec = replace(SPEC, manifests=(*(SPEC.manifests or ()), CCM))
    for verb in (Up(), ApplyTheManifests()):
        with pytest.raises(PreflightError, match="addon ccm can only be there from a cluster's birth on") as caught:
            verb.plan(spec, world.ports)
        assert caught.value.details == "nodes have k3s's own providerID"


def test_a_key_taken_from_a_secrets_texts_is_taken_from_the_secret() -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {user: me, password: x}\n"
    world = built(secret)
    (there,) = (each for each in world.objects.objects.values() if each["kind"] == "Secret")
    assert there["data"] == {"user": "bWU=", "password": "eA=="}
    write(world, secret.replace("user: me, ", ""))
    (change,) = manifests_diff(SPEC, world.ports).changes
    assert [(each.path, each.before, each.after) for each in change.fields] == [("data.user", "***", "")]
    apply(world)
    (there,) = (each for each in world.objects.objects.values() if each["kind"] == "Secret")
    assert there["data"] == {"password": "eA=="}


def test_what_the_api_says_of_a_secret_is_shown_without_its_values() -> None:
    secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: media}\nstringData: {pin: 98765}\n"
    world = built(NAMESPACE)
    world.objects.refuses["login"] = ".stringData.pin: expected string, got &value.valueUnstructured{Value:98765}"
    write(world, NAMESPACE, secret)
    with pytest.raises(PreflightError) as caught:
        apply(world)
    assert "Value:***}" in caught.value.details
    assert "98765" not in caught.value.details


def test_a_rebuild_reads_the_files_before_it_removes_a_machine_and_applies_them_again() -> None:
    world = built(*ALL)
    write(world, "kind: X\n")
    with pytest.raises(ManifestsError):
        Rebuild().plan(SPEC, world.ports)
    write(world, *ALL)
    plan = Rebuild().plan(SPEC, world.ports)
    assert plan.follows[0].lanes[-1].name == "manifests"
    world.objects = ObjectStore()
    Rebuild().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert world.objects.names("Deployment") == ["Deployment media/server"]

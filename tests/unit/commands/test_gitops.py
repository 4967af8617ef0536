"""`gitops`: one deploy key for ever, and what is taken back leaves what the repository has applied."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from bootstrap.addons.gitops.keys import public_half
from bootstrap.addons.gitops.objects import gitops_sources
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.manifests.apply import ApplyTheManifests
from bootstrap.commands.manifests.deploy_key import needed_deploy_key, new_deploy_key
from bootstrap.commands.manifests.looking import manifests_diff
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import DeadlineError, PreflightError
from bootstrap.manifests.readiness import not_synced
from bootstrap.manifests.values import GroupKind, ManifestObjects, Object, ObjectId
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.settings.gitops import GitopsController, GitopsSpec
from bootstrap.records.state.state_items import DEPLOY_KEY
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_manifests import run

CHART: Object = {
    "apiVersion": "helm.cattle.io/v1",
    "kind": "HelmChart",
    "metadata": {"name": "flux", "namespace": "kube-system"},
}
GITOPS = GitopsSpec(
    controller=GitopsController.FLUX, url="ssh://git@github.com/me/home", known_hosts="github.com x y\n"
)
BARE = replace(cluster(1, 1), manifests=())
SECRET = ObjectId(group="", kind="Secret", namespace="flux-system", name="flux-system")
SOURCE = ObjectId(group="source.toolkit.fluxcd.io", kind="GitRepository", namespace="flux-system", name="flux-system")


def handed_over(gitops: GitopsSpec = GITOPS) -> ClusterSpec:
    chart = ManifestObjects(shown="addon flux", objects=(CHART,))
    return replace(BARE, gitops=gitops, manifests=(chart, *gitops_sources(gitops)))


def with_flux(world: World) -> World:
    """The chart has brought its kinds."""
    for group, kind, plural in (
        ("source.toolkit.fluxcd.io", "GitRepository", "gitrepositories"),
        ("kustomize.toolkit.fluxcd.io", "Kustomization", "kustomizations"),
    ):
        world.objects.kinds[GroupKind(group, kind)] = ("v1", plural, True)
    return world


def in_cluster(world: World) -> str:
    return base64.b64decode(world.objects.objects[SECRET]["data"]["identity"]).decode()


def test_the_key_is_made_once_and_kept() -> None:
    spec, world = handed_over(), with_flux(World())
    plan = Up().plan(spec, world.ports)
    assert world.ports.state.read(spec.name, DEPLOY_KEY) is None  # a plan touches nothing
    plan = run(world, Up(), spec)
    kept = world.ports.state.read(spec.name, DEPLOY_KEY)
    assert kept == in_cluster(world)
    shown = new_deploy_key(plan, spec, world.ports)
    assert shown is not None
    assert shown.line == f"{public_half(kept)} homelab-k8s-{spec.name}"
    assert shown.page == "https://github.com/me/home/settings/keys"
    assert needed_deploy_key(spec, world.ports) == shown
    assert Up().plan(spec, world.ports).empty
    other = handed_over(replace(GITOPS, branch="stable"))
    plan = run(world, Up(), other)
    assert plan.lanes[-1].steps[0].step.title == "change GitRepository flux-system/flux-system"
    assert new_deploy_key(plan, other, world.ports) is None  # it is known already
    assert in_cluster(world) == kept


def test_a_rebuilt_cluster_has_the_same_key() -> None:
    spec, world = handed_over(), with_flux(World())
    run(world, Up(), spec)
    kept = in_cluster(world)
    plan = Rebuild().plan(spec, world.ports)
    world.objects = with_flux(World()).objects
    Rebuild().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert in_cluster(world) == kept


def test_another_computer_takes_the_clusters_key() -> None:
    spec, world = handed_over(), with_flux(World())
    run(world, Up(), spec)
    kept = in_cluster(world)
    world.ports.state.remove(spec.name, DEPLOY_KEY)
    assert manifests_diff(spec, world.ports).changes == ()
    assert needed_deploy_key(spec, world.ports).line.startswith(public_half(kept))
    assert world.ports.state.read(spec.name, DEPLOY_KEY) == kept


def test_a_lost_key_is_replaced_once_it_is_gone_here_and_there() -> None:
    spec, world = handed_over(), with_flux(World())
    run(world, Up(), spec)
    lost = in_cluster(world)
    world.ports.state.remove(spec.name, DEPLOY_KEY)
    del world.objects.objects[SECRET]
    plan = run(world, Up(), spec)
    assert in_cluster(world) not in ("", lost)
    assert new_deploy_key(plan, spec, world.ports) is not None


def test_a_key_can_be_pasted_before_there_is_a_cluster() -> None:
    spec, world = handed_over(), with_flux(World())
    shown = needed_deploy_key(spec, world.ports)
    run(world, Up(), spec)
    assert shown.line.startswith(public_half(in_cluster(world)))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (BARE, "the inventory has no gitops section"),
        (handed_over(replace(GITOPS, url="https://git.home.arpa/me/home")), "which has no deploy key"),
    ],
)
def test_without_ssh_there_is_no_deploy_key(spec: ClusterSpec, said: str) -> None:
    with pytest.raises(PreflightError, match=said):
        needed_deploy_key(spec, World().ports)


def test_ones_own_key_is_not_kept_here() -> None:
    own = needed_deploy_key(handed_over(), (world := with_flux(World())).ports)
    key = world.ports.state.read(BARE.name, DEPLOY_KEY) or ""
    world = with_flux(World())
    spec = handed_over(replace(GITOPS, secret=key))
    run(world, Up(), spec)
    assert in_cluster(world) == key
    assert world.ports.state.read(spec.name, DEPLOY_KEY) is None
    assert needed_deploy_key(spec, world.ports) == own


def test_a_chart_that_is_never_installed_ends_the_wait_and_names_its_job() -> None:
    world = World()
    with pytest.raises(DeadlineError) as caught:
        run(world, Up(), handed_over(), objects_s=5)
    assert "no GitRepository.source.toolkit.fluxcd.io, Kustomization.kustomize.toolkit.fluxcd.io yet" in str(
        caught.value
    )
    assert "`kubectl -n kube-system logs job/helm-install-flux`" in caught.value.resolution


def test_the_namespace_stays_when_the_cluster_is_taken_back() -> None:
    world = with_flux(World())
    run(world, Up(), handed_over())
    plan = Up().plan(BARE, world.ports)
    assert plan.empty  # the Secret, too: without it the source could not be read
    assert any("kept since data may be lost" in note for note in plan.notes)
    world.objects.journal.clear()
    run(world, ApplyTheManifests(), BARE)
    assert [each for each in world.objects.journal if "kube-system/homelab" not in each] == [
        "delete Kustomization flux-system/flux-system",
        "delete GitRepository flux-system/flux-system",
        "delete HelmChart kube-system/flux",
        "delete Secret flux-system/flux-system",
    ]


def test_status_says_what_flux_has_not_read_and_is_healthy() -> None:
    spec, world = handed_over(), with_flux(World())
    run(world, Up(), spec)
    condition = {"type": "Ready", "status": "False", "message": "authentication required"}
    world.objects.objects[SOURCE]["status"] = {"conditions": [condition]}
    found = cluster_status(spec, world.ports)
    assert found.healthy
    assert "GitRepository flux-system/flux-system: not Ready: authentication required" in found.notices
    assert "`homelab-k8s manifests deploy-key` prints the key that github.com/me/home has to know" in found.notices


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, "not synced yet"),
        ({"sync": {"status": "Synced"}}, ""),
        ({"sync": {"status": "OutOfSync"}}, "OutOfSync"),
        (
            {"sync": {"status": "Unknown"}, "conditions": [{"type": "ComparisonError", "message": "no login"}]},
            "no login",
        ),
        ({"sync": {"status": "Synced"}, "conditions": [{"type": "OrphanedResourceWarning", "message": "x"}]}, ""),
    ],
)
def test_when_an_application_is_not_synced(status: Object, said: str) -> None:
    assert not_synced({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "status": status}) == said

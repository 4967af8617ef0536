"""The deploy key with which the cluster reads its Git repository, as the Git host needs it."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.addons.gitops.keys import deploy_key_page, public_half
from bootstrap.addons.gitops.objects import SHOWN
from bootstrap.advice import Advice
from bootstrap.commands.observing.observe import ask_servers, observe_cluster
from bootstrap.errors import PreflightError
from bootstrap.execution.manifests.deploy_key import deploy_key
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.settings.gitops import GitopsSpec
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.manifests.steps import ApplyManifests
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.ports import Ports
from bootstrap.records.state.state_items import DEPLOY_KEY


@dataclass(frozen=True, kw_only=True)
class DeployKey:
    """What is pasted into the Git host.

    Attributes:
        repository: `github.com/me/home`.
        line: The public half, with a comment.
        page: Where it goes: a page, or in words.
    """

    repository: str
    line: str
    page: str


def needed_deploy_key(spec: ClusterSpec, ports: Ports) -> DeployKey:
    """The cluster's deploy key; one is made if there is none yet, so that it can be pasted before the first `up`.

    Raises:
        PreflightError: The repository is read without one, or nobody knows the one that the cluster has.
    """
    gitops = spec.gitops
    if gitops is None:
        raise PreflightError(
            "the inventory has no gitops section", resolution=Advice("`homelab-k8s explain gitops` describes it")
        )
    if not gitops.over_ssh:
        raise PreflightError(
            f"{gitops.repository} is read over HTTPS, which has no deploy key",
            resolution="a private repository has gitops.token; for a deploy key use a URL with ssh://",
        )
    if gitops.secret is not None:
        return _shown(spec, gitops, gitops.secret)
    kept = ports.state.read(spec.name, DEPLOY_KEY)
    return _shown(spec, gitops, kept or _found_or_made(spec, gitops, ports))


def new_deploy_key(plan: Plan, spec: ClusterSpec, ports: Ports) -> DeployKey | None:
    """The key that a run has just put into the cluster, which is to be pasted now; None where it has put none."""
    gitops = spec.gitops
    if gitops is None or not gitops.makes_key or not any(map(_brings_key, steps_of(plan, ApplyManifests))):
        return None
    kept = ports.state.read(spec.name, DEPLOY_KEY)
    return _shown(spec, gitops, kept) if kept else None


def _found_or_made(spec: ClusterSpec, gitops: GitopsSpec, ports: Ports) -> str:
    view = observe_cluster(spec, ports, patient=False)
    if not view.machines:
        return deploy_key(spec, gitops, ports.state, None, keep=True)
    needed_server(view)
    return ask_servers(view, ports, ask=lambda kube: deploy_key(spec, gitops, ports.state, kube.objects, keep=True))


def _brings_key(step: ApplyManifests) -> bool:
    secrets = [each for each in step.changes if each.place is not None and each.place.file == SHOWN]
    return not step.changes or any(each.id.kind == "Secret" for each in secrets)


def _shown(spec: ClusterSpec, gitops: GitopsSpec, key: str) -> DeployKey:
    line = f"{public_half(key)} homelab-k8s-{spec.name}"
    return DeployKey(repository=gitops.repository, line=line, page=deploy_key_page(gitops))

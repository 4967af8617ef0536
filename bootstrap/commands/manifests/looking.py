"""Compares the inventory's manifests with the cluster. Reads only: dry runs store nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bootstrap.commands.observing.observe import ask_servers, observe_cluster
from bootstrap.errors import KubernetesError, PreflightError
from bootstrap.execution.manifests.comparing import compare
from bootstrap.execution.manifests.deploy_key import with_deploy_key
from bootstrap.execution.manifests.gathering import gather
from bootstrap.manifests.errors import ManifestsError
from bootstrap.manifests.values import Manifest, ManifestsSeen
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.view import ClusterView
from bootstrap.ports import KubeObjects, Ports


def with_manifests(view: ClusterView, ports: Ports, *, strict: bool = True) -> ClusterView:
    """The view with how the manifests compare, where the inventory has any.

    Raises:
        ManifestsError: Files are wrong, and `strict`; else that is the problem seen.
    """
    if view.spec.manifests is None:
        return view
    try:
        seen = _seen(view, gather(view.spec.manifests, ports.manifests), ports)
    except ManifestsError as error:
        if strict:
            raise
        seen = ManifestsSeen(problem=str(error))
    return replace(view, observed=replace(view.observed, manifests=seen))


def _seen(view: ClusterView, manifests: Sequence[Manifest], ports: Ports) -> ManifestsSeen:
    if view.observed.kube_nodes is None:
        return ManifestsSeen(total=len(manifests), problem=view.observed.kube_problem or "there is no cluster yet")
    try:
        return ask_servers(view, ports, ask=lambda kube: _compared(view.spec, ports, manifests, kube.objects))
    except KubernetesError as error:
        return ManifestsSeen(total=len(manifests), problem=str(error))


def compared(spec: ClusterSpec, ports: Ports, *, force: bool = False) -> ClusterView:
    """The cluster with how its manifests compare, for `manifests diff` and `manifests apply`.

    Raises:
        PreflightError: The inventory has no manifests, or no server is Ready.
        ManifestsError: Files are wrong.
        KubernetesError: The API does not answer.
    """
    if spec.manifests is None:
        raise PreflightError(
            "the inventory has no manifests",
            details="nothing is applied, and nothing is pruned",
            resolution="list files or folders under `manifests:`; an empty list prunes all that was applied",
        )
    manifests = gather(spec.manifests, ports.manifests)
    view = observe_cluster(spec, ports, patient=False)
    needed_server(view)
    seen = ask_servers(view, ports, ask=lambda kube: _compared(spec, ports, manifests, kube.objects, force=force))
    return replace(view, observed=replace(view.observed, manifests=seen))


def _compared(
    spec: ClusterSpec, ports: Ports, manifests: Sequence[Manifest], api: KubeObjects, *, force: bool = False
) -> ManifestsSeen:
    return compare(with_deploy_key(manifests, spec, ports.state, api, keep=False), api, force=force)


def manifests_diff(spec: ClusterSpec, ports: Ports) -> ManifestsSeen:
    """How the objects of the manifests differ from the cluster's. Raises as `compared`."""
    return compared(spec, ports).observed.manifests or ManifestsSeen()

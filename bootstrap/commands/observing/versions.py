"""Which k3s release machines run, and which one new machines get. Reads only."""

from __future__ import annotations

from dataclasses import replace

from bootstrap.commands.observing.guests import Guest, ask, server_guests
from bootstrap.errors import ArtifactError, HomelabError, PreflightError
from bootstrap.execution.guests.scripts import parse_lines
from bootstrap.k3s.versions import is_release, parse_version
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.view import ClusterView
from bootstrap.ports import GuestScript, Ports


def choose_version(view: ClusterView, ports: Ports, *, resolved: str | None = None) -> str:
    """What machines that join now get: the version the cluster's servers run, else what the inventory means.

    An agent must not be newer than its server (docs/k3s.md#upgrades), and `up` does not upgrade.
    """
    spec = view.spec
    running = [parse_version(kube_node.version) for kube_node in view.kube_servers if kube_node.ready]
    if not running:
        return resolved or ports.artifacts.resolve(spec.k3s)
    oldest = str(min(running))
    if spec.k3s.artifacts is None:
        return oldest
    try:
        return ports.artifacts.resolve(replace(spec.k3s, version=oldest))
    except ArtifactError as error:
        raise PreflightError(
            f"{spec.name} runs k3s {oldest}, which the artifact directory does not hold",
            details=str(error),
            resolution=f"put the files of {oldest} into {spec.k3s.artifacts / oldest}: joining machines "
            "must not be newer",
        ) from error


def with_k3s(view: ClusterView, version: str) -> ClusterView:
    """The view, preferring a template with this k3s."""
    spec = view.spec
    return replace(view, spec=replace(spec, template=replace(spec.template, k3s=version)))


def server_versions(view: ClusterView, ports: Ports) -> tuple[str, ...]:
    """The k3s releases of the servers: as Kubernetes reports them, else as the machines do. Reads only."""
    told = [kube_node.version for kube_node in view.kube_servers]
    if not told:
        told = [_installed(server, view.spec, ports) for server in server_guests(view)]
    return tuple(version for version in told if is_release(version))


def _installed(server: Guest, spec: ClusterSpec, ports: Ports) -> str:
    """The release on a server's disk; empty where it cannot be asked: then the run meets the same and says why."""
    script = GuestScript(name="facts.sh", env=(("UNIT", server.record.role.unit),))
    try:
        facts = parse_lines(ask(server, script, spec, ports))
    except HomelabError:
        return ""
    if not any(facts.get("active_state", [])):
        return ""  # never installed: the binary came with the template, and no data is of its version
    return next(iter(facts.get("k3s_version", [])), "")

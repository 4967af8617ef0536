"""What the library needs of the outside world, as narrow protocols; `bootstrap.adapters` makes them real.

Every method raises only errors of `bootstrap.errors`. Ports are called from many threads at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.model.observed import GuestInterface
from bootstrap.ports.cluster import Artifact, ArtifactSource, KubeApi, KubeApis
from bootstrap.ports.guests import CommandOutcome, GuestScript, GuestShell, GuestShells, Tunnel, Ways
from bootstrap.ports.local import (
    CertificateFacts,
    Clock,
    EndpointFacts,
    KubeconfigStore,
    MergedKubeconfig,
    Probes,
    Process,
    Processes,
    RecordKeys,
    RemovedKubeconfig,
    StateStore,
)
from bootstrap.ports.manifests import KubeObjects, ManifestFile, ManifestFiles, ManifestReader
from bootstrap.ports.proxmox import (
    GUEST_FILE_MAX,
    CloneRequest,
    ContainerRequest,
    Hypervisor,
    Marker,
    Markers,
    PveFacts,
    Warn,
)
from bootstrap.ports.templates import BuilderRequest, SeedRequest, TemplateMaker
from bootstrap.ports.upkeep import Notices, Timers
from bootstrap.ports.users import KubeUsers


@dataclass(frozen=True, kw_only=True)
class Ports:
    """All ports a command needs, in one value."""

    hypervisor: Hypervisor
    shells: GuestShells
    kube: KubeApis
    artifacts: ArtifactSource
    kubeconfigs: KubeconfigStore
    manifests: ManifestReader
    state: StateStore
    keys: RecordKeys
    clock: Clock
    markers: Markers
    processes: Processes
    probes: Probes
    templates: TemplateMaker
    ways: Ways
    notices: Notices
    timers: Timers


__all__ = [
    "GUEST_FILE_MAX",
    "Artifact",
    "ArtifactSource",
    "BuilderRequest",
    "CertificateFacts",
    "Clock",
    "CloneRequest",
    "CommandOutcome",
    "ContainerRequest",
    "EndpointFacts",
    "GuestInterface",
    "GuestScript",
    "GuestShell",
    "GuestShells",
    "Hypervisor",
    "KubeApi",
    "KubeApis",
    "KubeObjects",
    "KubeUsers",
    "KubeconfigStore",
    "ManifestFile",
    "ManifestFiles",
    "ManifestReader",
    "Marker",
    "Markers",
    "MergedKubeconfig",
    "Notices",
    "Ports",
    "Probes",
    "Process",
    "Processes",
    "PveFacts",
    "RecordKeys",
    "RemovedKubeconfig",
    "SeedRequest",
    "StateStore",
    "TemplateMaker",
    "Timers",
    "Tunnel",
    "Warn",
    "Ways",
]

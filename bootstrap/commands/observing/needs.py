"""What machines that are to come need, looked for before anything goes for them. Reads only."""

from __future__ import annotations

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.checks.runtime import ROOM_REMEDY
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.steps import FetchK3s
from bootstrap.ports import Ports

LEAST_ROOM_BYTES = 1 << 20
"""What a cluster's keys, kubeconfig and host keys take at the most, logs aside."""


def check_state_room(ports: Ports) -> None:
    """Refuse to begin where the state directory has no room for the cluster's keys.

    Raises:
        PreflightError: Nothing was touched.
    """
    free = ports.state.room_bytes()
    if free < LEAST_ROOM_BYTES:
        raise PreflightError(
            "the disk with the state directory is full",
            details=f"{free // 1024} KiB are free; the cluster's keys and kubeconfig are stored there",
            resolution=f"{ROOM_REMEDY}, then run the command again",
        )


def check_artifacts(plan: Plan, spec: ClusterSpec, ports: Ports) -> None:
    """See that each k3s release of a plan and of those that follow can be fetched, for each architecture.

    Raises:
        ArtifactError: One cannot; nothing was touched.
    """
    for step in steps_of(plan, FetchK3s):
        ports.artifacts.check(spec.k3s, version=step.version, arch=step.arch)


def check_artifact_directory(plan: Plan, spec: ClusterSpec, ports: Ports) -> None:
    """The same where releases come from a directory of the user's, which is looked at in an instant.

    Raises:
        ArtifactError: A file is missing or wrong; nothing was touched.
    """
    if spec.k3s.artifacts is not None:
        check_artifacts(plan, spec, ports)

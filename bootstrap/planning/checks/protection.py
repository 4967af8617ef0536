"""Refuses what `protect: true` in the inventory forbids: to remove the cluster, or any of its servers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.words import count

PROTECTED = "protect: true in the inventory forbids to remove the cluster or its servers"


def check_cluster_removal(spec: ClusterSpec, *, command: str) -> None:
    """Refuse to remove all machines of a protected cluster.

    Args:
        spec: The cluster, as the inventory says.
        command: What would remove them: `down` or `rebuild`.

    Raises:
        PreflightError: It is protected.
    """
    if spec.protect:
        raise PreflightError(
            f"{spec.name} is protected, and `{command}` removes all its machines; nothing was changed",
            details=PROTECTED,
            resolution=_lift(command),
        )


def check_server_removal(spec: ClusterSpec, going: Sequence[MachineName], *, command: str) -> None:
    """Refuse that a protected cluster gets fewer servers.

    Args:
        spec: The cluster, as the inventory says.
        going: The servers that would be removed without a successor.
        command: What would remove them: `scale`, with its arguments, or `replace`.

    Raises:
        PreflightError: It is protected, and there are any.
    """
    if spec.protect and going:
        raise PreflightError(
            f"{spec.name} is protected, and {count(len(going), 'server')} would be removed: {', '.join(going)}; "
            "nothing was changed",
            details=PROTECTED,
            resolution=_lift(command),
        )


def _lift(command: str) -> Advice:
    return Advice("if you mean it, set `protect: false` in the inventory file, then: `homelab-k8s {}`", command)

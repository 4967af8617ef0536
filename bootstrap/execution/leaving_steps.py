"""Handlers; being written."""

from __future__ import annotations

from bootstrap.execution.context import Done, RunContext
from bootstrap.planning.keeping_steps import DeleteKubeNode, Drain, MarkLeaving, Reclaim, Uncordon


def mark_leaving(step: MarkLeaving, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def reclaim(step: Reclaim, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def drain(step: Drain, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def uncordon(step: Uncordon, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def delete_kube_node(step: DeleteKubeNode, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError

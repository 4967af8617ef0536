"""Handlers; being written."""

from __future__ import annotations

from bootstrap.execution.context import Done, RunContext
from bootstrap.planning.keeping_steps import RejoinServer, RestoreSnapshot, StopK3s, TakeSnapshot


def take_snapshot(step: TakeSnapshot, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def stop_k3s(step: StopK3s, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def restore_snapshot(step: RestoreSnapshot, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def rejoin_server(step: RejoinServer, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError

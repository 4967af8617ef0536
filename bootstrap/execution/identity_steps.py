"""Handlers; being written."""

from __future__ import annotations

from bootstrap.execution.context import Done, RunContext
from bootstrap.planning.keeping_steps import RenewToken, RotateToken, SaveIdentity


def rotate_token(step: RotateToken, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def renew_token(step: RenewToken, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def save_identity(step: SaveIdentity, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError

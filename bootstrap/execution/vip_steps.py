"""Handlers; being written."""

from __future__ import annotations

from bootstrap.execution.context import Done, RunContext
from bootstrap.planning.keeping_steps import ConfigureVip, SpreadVip


def configure_vip(step: ConfigureVip, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def spread_vip(step: SpreadVip, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError

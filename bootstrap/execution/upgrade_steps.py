"""Handlers; being written."""

from __future__ import annotations

from bootstrap.execution.context import Done, RunContext
from bootstrap.planning.keeping_steps import AwaitVersion, MigrateToEtcd, UpgradeK3s


def upgrade_k3s(step: UpgradeK3s, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def await_version(step: AwaitVersion, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError


def migrate_to_etcd(step: MigrateToEtcd, lane: str, context: RunContext) -> Done:
    """To come."""
    raise NotImplementedError

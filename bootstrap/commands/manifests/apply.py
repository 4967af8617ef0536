"""`manifests apply`: applies the inventory's manifests, and prunes what is no longer in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from bootstrap.commands.manifests.looking import compared
from bootstrap.commands.verb import Verb
from bootstrap.manifests.values import ObjectId
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.manifests.plan import plan_manifests
from bootstrap.planning.manifests.steps import ApplyManifests
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.ports import Ports


@dataclass(frozen=True, kw_only=True)
class ApplyTheManifests(Verb):
    """`manifests apply`.

    Attributes:
        force: Take over fields that others manage.
        losses: Objects that the user has seen and agreed to lose; None: before they were seen.
    """

    ends_others: ClassVar[bool] = False
    has_joins: ClassVar[bool] = False

    force: bool = False
    losses: frozenset[ObjectId] | None = None

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`."""
        return plan_manifests(compared(spec, ports, force=self.force), force=self.force, confirmed=self.losses)

    def seen(self, plan: Plan) -> Self:
        """With what the user has agreed to lose."""
        return replace(self, losses=frozenset(lost_by(plan)))


def lost_by(plan: Plan) -> Iterable[ObjectId]:
    """The objects of a plan that are pruned though data may be lost with them."""
    return (identity for step in steps_of(plan, ApplyManifests) for identity in step.confirmed)

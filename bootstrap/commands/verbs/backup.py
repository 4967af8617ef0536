"""`backup`: takes a snapshot of the cluster's data, and fetches or uploads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bootstrap.commands.observing.preflight import observe_existing
from bootstrap.commands.verb import Verb
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.plan import Plan
from bootstrap.planning.verbs.backup import plan_backup
from bootstrap.ports import Ports


@dataclass(frozen=True, kw_only=True)
class Backup(Verb):
    """`backup`. The next run takes an interrupted snapshot again.

    Attributes:
        name: Prefix of the snapshot's name.
        to: A local directory to fetch it into as well, or None.
        s3: Whether it is uploaded to the inventory's bucket as well.
        keep: How many of this name stay; None: as the inventory says.
    """

    ends_others: ClassVar[bool] = False

    name: str = "manual"
    to: Path | None = None
    s3: bool = False
    keep: int | None = None

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`."""
        to = self.to.expanduser().absolute() if self.to is not None else None
        return plan_backup(observe_existing(spec, ports), name=self.name, to=to, s3=self.s3, keep=self.keep)

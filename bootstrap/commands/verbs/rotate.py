"""`rotate token`: a new token for the cluster."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.commands.observing.preflight import observe_existing
from bootstrap.commands.verb import Verb
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.plan import Plan
from bootstrap.planning.verbs.rotate import plan_rotate
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention
from bootstrap.records.state.state_items import NEXT_AGENT_TOKEN, NEXT_TOKEN


@dataclass(frozen=True)
class RotateToken(Verb):
    """`rotate token`."""

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`."""
        unfinished = bool(ports.state.read(spec.name, NEXT_TOKEN))
        return plan_rotate(observe_existing(spec, ports), unfinished=unfinished)

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention:
        """That it is in progress."""
        return Intention(command="rotate", again="rotate token", since=ports.processes.utc_text())

    def ended(self, spec: ClusterSpec, ports: Ports) -> None:
        """Until here an interrupted run is continued with this token, not with a third one."""
        for item in (NEXT_AGENT_TOKEN, NEXT_TOKEN):  # in this order: the second says that one is in progress
            ports.state.write(spec.name, item, "")

"""`rotate token`: a new token for the cluster; and whether Kubernetes secrets are encrypted in its data."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.commands.observing.guests import ask, guests_of
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.preflight import observe_existing
from bootstrap.commands.verb import Verb
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.plan import Plan
from bootstrap.planning.verbs.rotate import plan_rotate
from bootstrap.ports import GuestScript, Ports
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
        """That it is under way."""
        return Intention(command="rotate", again="rotate token", since=ports.processes.utc_text())

    def ended(self, spec: ClusterSpec, ports: Ports) -> None:
        """Until now a run that was cut off would have been finished with this token, not with a third one."""
        for item in (NEXT_AGENT_TOKEN, NEXT_TOKEN):  # in this order: the second says that one is under way
            ports.state.write(spec.name, item, "")


@dataclass(frozen=True, kw_only=True)
class SecretsEncryption:
    """Whether Kubernetes secrets are encrypted in the cluster's data.

    Attributes:
        enabled: None where k3s said neither.
        text: What k3s said.
    """

    enabled: bool | None
    text: str


def secrets_encryption(spec: ClusterSpec, ports: Ports) -> SecretsEncryption:
    """Ask a server. Reads only.

    Raises:
        HomelabError: No server is Ready, or it cannot be asked.
    """
    view = observe_cluster(spec, ports)
    server = needed_server(view)
    guest = guests_of(view).get(server.name)
    if guest is None:
        raise PreflightError(f"the guest agent of {server.name} does not report an address")
    text = ask(guest, GuestScript(name="secrets-status.sh"), spec, ports)
    return SecretsEncryption(enabled=_enabled(text), text=text.strip())


def _enabled(text: str) -> bool | None:
    """From the line `Encryption Status: Enabled` (or Disabled)."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Encryption Status":
            return {"enabled": True, "disabled": False}.get(value.strip().split(",")[0].lower())
    return None

"""What a run discovers on the way: written once, read by any lane."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Generic, TypeVar

from bootstrap.model.ids import MachineName, Vmid
from bootstrap.planning.plan import Plan, VmPlace
from bootstrap.ports import Artifact, GuestShell, KubeApi
from bootstrap.records.state.token_history import ClusterTokens

if TYPE_CHECKING:
    from bootstrap.execution.k3s.service import Starting

K = TypeVar("K")
V = TypeVar("V")

CLUSTER = "cluster"
"""The one key of `Findings.access`."""


class Once(Generic[K, V]):
    """A map whose entries are written once; writing the same value again is fine, another one is a bug."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._values: dict[K, V] = {}

    def put(self, key: K, value: V) -> V:
        """Write an entry and return the one that counts.

        Raises:
            ValueError: There is another value already.
        """
        with self._lock:
            known = self._values.setdefault(key, value)
        if known != value:
            raise ValueError(f"{self._what} of {key} is known already")
        return known

    def put_first(self, key: K, value: V) -> V:
        """Write an entry unless there is one; return the one that counts."""
        with self._lock:
            return self._values.setdefault(key, value)

    def get(self, key: K) -> V | None:
        """An entry, or None."""
        with self._lock:
            return self._values.get(key)

    def need(self, key: K) -> V:
        """An entry that an earlier step of the plan has written."""
        value = self.get(key)
        if value is None:
            raise LookupError(f"{self._what} of {key} is not known yet: the plan lacks a step")
        return value

    def keys(self) -> tuple[K, ...]:
        """What there are values for."""
        with self._lock:
            return tuple(self._values)

    def values(self) -> tuple[V, ...]:
        """All values so far."""
        with self._lock:
            return tuple(self._values.values())


@dataclass(frozen=True, kw_only=True)
class GuestFacts:
    """A guest as it was found.

    Attributes:
        address6: Its IPv6 address; None in a cluster without.
        arch: amd64 or arm64.
        k3s_sha256: Checksum of its k3s binary, empty without one.
        k3s_version: What that says of itself; empty where it says nothing, being damaged.
        active_state: systemd's word for its k3s unit, empty without one.
        sub_state: systemd's finer word, such as `running`, `start` or `auto-restart`.
        restarts: How often systemd has restarted the unit since its last explicit start.
        boot: Another one after each boot; empty where it is not known.
    """

    address: IPv4Address
    address6: IPv6Address | None = None
    arch: str
    machine_id: str
    k3s_sha256: str
    k3s_version: str
    active_state: str
    sub_state: str = ""
    restarts: int = 0
    boot: str = ""

    @property
    def runs_k3s(self) -> bool:
        """Whether k3s runs there.

        An agent's unit stays `activating` for minutes while its node is Ready: READY=1 waits for a heartbeat that the
        kubelet may repeat every 5 minutes only (k3s 1.33 and newer). One that systemd has restarted is a loop.
        """
        starts = self.active_state == "activating" and self.sub_state == "start" and not self.restarts
        return starts or self.active_state in ("active", "reloading")


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """How to join and to talk to the cluster.

    Attributes:
        address: The server that answers.
        token: Full token with the CA's hash.
        agent_token: The agents' in the same form; empty where they have the servers'.
        kubeconfig: YAML text with the reachable address; the cluster's name throughout.
    """

    address: IPv4Address
    token: str = field(repr=False)
    agent_token: str = field(default="", repr=False)
    kubeconfig: str = field(repr=False)
    kube: KubeApi

    @property
    def tokens(self) -> ClusterTokens:
        """Both, as machines join with them."""
        return ClusterTokens(server=self.token, agent=self.agent_token)


class Findings:
    """All that a run has found out so far. Thread-safe."""

    def __init__(self, plan: Plan) -> None:
        self.places: Once[MachineName, VmPlace] = Once("the VM")
        self.started_s: Once[MachineName, float] = Once("the start time")
        self.cloned: Once[MachineName, bool] = Once("whether a clone was made")
        self.restored: Once[MachineName, bool] = Once("whether it got restored data")
        self.guests: Once[MachineName, GuestFacts] = Once("the guest")
        self.shells: Once[MachineName, GuestShell] = Once("the SSH connection")
        self.machine_ids: Once[str, MachineName] = Once("the machine-id")
        self.artifacts: Once[tuple[str, str], Artifact] = Once("the k3s release")  # by version and architecture
        self.prepared: Once[MachineName, Artifact] = Once("the k3s release to install")
        self.access: Once[str, ClusterAccess] = Once("access to the cluster")
        self.starts: dict[MachineName, Starting] = {}
        """The last start of each machine's k3s: restored data is started twice."""
        self._vmids = iter(range(plan.vmids.first, plan.vmids.last + 1))
        self._reserved = plan.reserved_vmids
        self._lock = threading.Lock()
        for machine in plan.machines:
            if machine.place.identity is not None:
                self.places.put(machine.spec.name, machine.place)

    def next_vmid(self) -> Vmid | None:
        """A vmid of our range that was not seen in use and no machine of the plan has, or None."""
        with self._lock:
            return next((Vmid(vmid) for vmid in self._vmids if vmid not in self._reserved), None)

    def close(self) -> None:
        """End connections; the findings stay readable."""
        for shell in self.shells.values():
            shell.close()
        for access in self.access.values():
            access.kube.close()

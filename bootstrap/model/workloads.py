"""What runs on Kubernetes nodes, as far as draining one has to know; and the cluster's snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bootstrap.model.ids import MachineName

_DAEMON_SET = "DaemonSet"
_SYSTEM = "kube-system"
"""Where k3s puts its packaged add-ons."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod on a node.

    Attributes:
        uid: Tells it from a later pod of its name.
        controller: Kind of the object that owns it (`ReplicaSet`, `DaemonSet`, ...), empty for a bare pod.
        finished: Succeeded or Failed: nothing is lost with it.
        mirror: The kubelet's image of a static pod; it cannot be evicted.
        local_data: Has an emptyDir volume, whose content goes with the pod.
        leaving: Is being deleted already.
    """

    namespace: str
    name: str
    uid: str
    controller: str = ""
    finished: bool = False
    mirror: bool = False
    local_data: bool = False
    leaving: bool = False

    @property
    def stays(self) -> bool:
        """Whether it belongs to the node itself, so that draining leaves it there."""
        return self.mirror or self.controller == _DAEMON_SET

    @property
    def loses_data(self) -> bool:
        """Whether its eviction loses what a user may miss: an emptyDir of a pod that would run on.

        Not so in kube-system, where a controller brings a pod back: k3s's own metrics-server has an emptyDir for its
        certificates on every cluster, and what is in it is made again.
        """
        again = self.namespace == _SYSTEM and bool(self.controller)
        return self.local_data and not (self.stays or self.finished or self.leaving or again)

    def __str__(self) -> str:
        """As kubectl writes it: `namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why an eviction was refused for now.

    Attributes:
        budgets: PodDisruptionBudgets that select the pod, as `namespace/name`.
        message: What the API said.
    """

    budgets: tuple[str, ...]
    message: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A snapshot of the cluster's data.

    Attributes:
        name: Its file's name.
        machine: The server that made it; for S3 too.
        location: `file:///...` on that server, `s3://bucket/key`, or a path here.
        size: In bytes, 0 where unknown.
        made: When; None where unknown.
        problem: Why it is not usable; empty where it is.
    """

    name: str
    machine: MachineName | None
    location: str
    size: int = 0
    made: datetime | None = None
    problem: str = ""

"""What Kubernetes has: nodes, the pods on them as far as draining asks, and snapshots of its data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint

_DAEMON_SET = "DaemonSet"
_SYSTEM = "kube-system"
"""Where k3s puts its packaged add-ons."""


@dataclass(frozen=True, kw_only=True)
class KubeNode:
    """A Kubernetes node object.

    Attributes:
        ready: The Ready condition is True and its lease was renewed within 30 s (Ready alone can be stale:
            a stopped k3s stays Ready for 40 s, and after a cold boot the API reports the state before it). Where it was
            looked at with its machine, the VM runs, too, and so does k3s there if the lease is older than a renewal.
        problem: Why it is not ready, in Kubernetes' words; empty when it is.
        version: kubeletVersion.
        uid: Changes when the node is deleted and registers again.
        heartbeat: When its kubelet last reported its status, by the machine's own clock; one that starts reports
            within seconds, and then every 5 minutes while nothing changes.
        stale: It says Ready, but its kubelet has not been heard of for too long, or, where it was looked at with its
            machine, the VM or k3s there does not run.
        lease_age_s: Seconds since its kubelet renewed its lease, by the API server's clock; None without a lease.
        renewed: When that was, by the machine's own clock; every 10 s. A list knows it best.
        args: What its k3s was started with: command line and settings files, secrets masked. k3s itself writes it
            into the annotation k3s.io/node-args at each start. None where it is missing.
        settings_pending: By an annotation of ours: a run has begun to change the settings of its k3s, and has not seen
            them in effect.
        deleting: Its deletion was asked for, and a server's etcd member is gone. A finalizer may hold the node until
            k3s has stopped there and its lease has expired (docs/k3s.md#removing-a-node).
        env: The names of k3s's own variables (K3S_...) in its environment, likewise, from k3s.io/node-env.
    """

    name: MachineName
    ready: bool
    problem: str = ""
    version: str = ""
    address: IPv4Address | None = None
    roles: frozenset[str] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    os_image: str = ""
    created: datetime | None = None
    uid: str = ""
    heartbeat: datetime | None = None
    lease_age_s: float | None = field(default=None, compare=False)
    stale: bool = False
    renewed: datetime | None = field(default=None, compare=False)
    args: tuple[str, ...] | None = None
    env: frozenset[str] | None = None
    settings_pending: bool = False
    deleting: bool = False


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod on a node.

    Attributes:
        uid: Distinguishes it from a later pod of its name.
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

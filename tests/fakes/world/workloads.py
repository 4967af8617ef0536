"""Pods and PodDisruptionBudgets: evictions, the kubelets that end pods, the controllers that make them again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Pod, Refusal

if TYPE_CHECKING:
    from tests.fakes.world.world import World

REPLACED = frozenset({"ReplicaSet", "StatefulSet"})
"""Controllers that make a pod again somewhere."""


@dataclass
class FakePod:
    """A pod.

    Attributes:
        on: Its node; None while none takes it.
        app: Its only label; what budgets select.
        grace_s: From its eviction to its end, on a node whose kubelet lives.
        stuck: A finalizer holds it.
        tolerates: Goes to cordoned nodes too, and to its own again first.
    """

    pod: Pod
    on: MachineName | None
    app: str = ""
    grace_s: float = 1.0
    stuck: bool = False
    tolerates: bool = False
    ends_s: float | None = None


@dataclass(frozen=True)
class FakeBudget:
    """A PodDisruptionBudget for the pods of an app."""

    namespace: str
    name: str
    app: str
    min_available: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass
class Workloads:
    """What runs on the world's Kubernetes nodes."""

    pods: list[FakePod] = field(default_factory=list)
    budgets: list[FakeBudget] = field(default_factory=list)
    made: int = 0

    def add_ons(self, on: MachineName) -> None:
        """k3s's packaged ones, which every cluster has from its first server on."""
        for name in ("coredns", "local-path-provisioner", "metrics-server"):
            pod = Pod(
                namespace="kube-system",
                name=f"{name}-5d8f7c6b9-x2x4z",
                uid=f"uid-{name}",
                controller="ReplicaSet",
                local_data=name == "metrics-server",
            )
            self.pods.append(FakePod(pod=pod, on=on, app=name))

    def on(self, name: MachineName, world: World) -> tuple[Pod, ...]:
        """A node's pods now."""
        self.settle(world)
        return tuple(pod.pod for pod in self.pods if pod.on == name)

    def settle(self, world: World) -> None:
        """Let the time pass that has passed: pods end, are made again and find a node."""
        now_s = world.clock.now_s()
        for fake in [fake for fake in self.pods if fake.on is not None]:
            deleted = fake.on not in world.kube_nodes
            ended = fake.ends_s is not None and now_s >= fake.ends_s and not fake.stuck
            if deleted or (ended and world.is_alive(fake.on)):
                self.pods.remove(fake)
                self._make_again(fake)
        for fake in self.pods:
            if fake.on is None:
                fake.on = self._place(fake, world)

    def _make_again(self, gone: FakePod) -> None:
        if gone.pod.controller in REPLACED and not gone.pod.finished:
            self.made += 1
            pod = replace(gone.pod, uid=f"{gone.pod.uid}-again-{self.made}", leaving=False)
            before = gone.on if gone.tolerates else None
            self.pods.append(replace(gone, pod=pod, on=before, ends_s=None))

    def _place(self, fake: FakePod, world: World) -> MachineName | None:
        nodes = (node for node in world.kube_nodes.values() if fake.tolerates or not node.unschedulable)
        return next((node.name for node in nodes if world.is_alive(node.name)), None)

    def evict(self, pod: Pod, world: World) -> Refusal | None:
        """The eviction subresource (policy/v1), for the very pod of this uid."""
        self.settle(world)
        fake = next((fake for fake in self.pods if fake.pod.uid == pod.uid), None)
        if fake is None:
            return None
        budgets = [budget for budget in self.budgets if self._selects(budget, fake)]
        if not fake.pod.finished and not all(self._allows(budget, fake, world) for budget in budgets):
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            return Refusal(budgets=tuple(map(str, budgets)), message=message)
        if not fake.pod.leaving:
            fake.pod = replace(fake.pod, leaving=True)
            fake.ends_s = world.clock.now_s() + fake.grace_s
            world.log(f"evict {pod}")
        return None

    def _selects(self, budget: FakeBudget, fake: FakePod) -> bool:
        return budget.app == fake.app and budget.namespace == fake.pod.namespace

    def _allows(self, budget: FakeBudget, fake: FakePod, world: World) -> bool:
        healthy = [other for other in self.pods if self._selects(budget, other) and self._healthy(other, world)]
        # A pod that is not healthy may go where enough others are (IfHealthyBudget).
        return len(healthy) - (1 if fake in healthy else 0) >= budget.min_available

    def _healthy(self, fake: FakePod, world: World) -> bool:
        return fake.on is not None and world.is_alive(fake.on) and not fake.pod.leaving and not fake.pod.finished

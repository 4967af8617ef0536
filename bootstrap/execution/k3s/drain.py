"""Drains a Kubernetes node as `kubectl drain` does: evictions that respect PodDisruptionBudgets, in waves.

What differs from kubectl (1.33): pods that came while it was being cordoned are evicted too, a node whose kubelet is
dead holds up no drain, and after a failure the node is as schedulable as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bootstrap.errors import DeadlineError, DrainError, KubeUnreachableError, few_lines, some_of
from bootstrap.model.observed import KubeNode, Pod, Refusal
from bootstrap.model.words import count
from bootstrap.planning.day2_steps import Drain
from bootstrap.ports import Clock, KubeApi
from bootstrap.waiting import Condition, NotYet, WaitContext, wait_for

LOOK_EVERY_S = 0.5
ASK_AGAIN_S = 2.0
"""A refused eviction is asked for again after this long; budgets free up as other pods become ready."""
DEAD_AFTER_S = 20.0
"""A node that is not Ready for this long is not waited for: its kubelet ends no pods. A restart of k3s takes 9 s."""
MOST_WAVES = 2
"""One for the pods there, one for those bound just before the cordon was seen; who comes later tolerates cordons."""


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What came of it.

    Attributes:
        evicted: How many pods were to go.
        left: Pods that stay until the node is deleted, since its kubelet is dead.
        returning: Pods that come to the node although it is cordoned.
    """

    evicted: int = 0
    left: int = 0
    returning: int = 0

    def __str__(self) -> str:
        """In a few words."""
        parts = [count(self.evicted, "pod") + " evicted"]
        if self.left:
            parts.append(f"the node is not Ready: {count(self.left, 'pod')} are removed with it")
        if self.returning:
            parts.append(f"{count(self.returning, 'pod')} came back although the node is cordoned")
        return "; ".join(parts)


def is_evictable(pod: Pod) -> bool:
    """Whether a drain evicts a pod at all: not the node's own, such as those of DaemonSets."""
    return not pod.stays


def evict_all(step: Drain, kube: KubeApi, wait_context: WaitContext) -> Drained:
    """Evict the pods of a node that is cordoned already.

    Raises:
        DrainError: Pods may not go (found before the first eviction), or did not in time.
        InterruptedRunError: The run was interrupted.
        KubernetesError: The API refused, or did not answer at the beginning.
    """
    evicted = 0
    for _ in range(MOST_WAVES):
        pods = tuple(pod for pod in kube.pods(on=step.machine) if is_evictable(pod))
        if not pods:
            return Drained(evicted=evicted)
        _refuse_forbidden(step, pods)
        left = _Wave(step, pods, kube, wait_context).run()
        evicted += len(pods) - left
        if left:
            return Drained(evicted=evicted, left=left)
    again = sum(is_evictable(pod) for pod in kube.pods(on=step.machine))
    return Drained(evicted=evicted, returning=again)


def _refuse_forbidden(step: Drain, pods: Iterable[Pod]) -> None:
    """Raise for pods that would lose something that no option allows; pods that are ending anyway do not count."""
    losses = [loss for loss in _losses(step, pods) if loss.pods]
    if losses:
        raise DrainError(
            f"{step.machine} cannot be drained: {' and '.join(map(str, losses))}",
            details=few_lines([f"{pod}: {loss.detail}" for loss in losses for pod in loss.pods]),
            resolution=f"move or delete these pods; or {'; '.join(loss.way for loss in losses)}",
        )


@dataclass(frozen=True)
class _Loss:
    """Pods that would lose something, and the option that lets them."""

    pods: tuple[Pod, ...]
    what: str
    detail: str
    way: str

    def __str__(self) -> str:
        return f"{count(len(self.pods), 'pod')} {'has' if len(self.pods) == 1 else 'have'} {self.what}"


def _losses(step: Drain, pods: Iterable[Pod]) -> Iterator[_Loss]:
    staying = [pod for pod in pods if not pod.finished and not pod.leaving]
    if not step.delete_local_data:
        local = tuple(pod for pod in staying if pod.loses_data)
        way = "--delete-emptydir-data deletes the data in emptyDir volumes"
        yield _Loss(local, "local data", "emptyDir volume", way)
    if not step.delete_bare:
        bare = tuple(pod for pod in staying if not pod.controller)
        way = "--force deletes pods that no controller recreates"
        yield _Loss(bare, "no controller", "no controller recreates it", way)


@dataclass
class _Wave:
    """Pods that are to go, each known by its uid: a later pod of the same name is another pod."""

    step: Drain
    pods: tuple[Pod, ...]
    kube: KubeApi
    wait_context: WaitContext
    refusals: dict[str, Refusal] = field(default_factory=dict)
    asked_s: dict[str, float] = field(default_factory=dict)
    left: tuple[Pod, ...] = ()
    unreachable: str = ""
    not_ready_since_s: float | None = None

    @property
    def clock(self) -> Clock:
        return self.wait_context.clock

    def run(self) -> int:
        """Evict them and wait; how many stay since the node's kubelet is dead."""
        condition = Condition(
            what=f"the pods of {self.step.machine} to be evicted",
            poll=self.poll,
            every_s=LOOK_EVERY_S,
        )
        try:
            return wait_for(condition, self.wait_context)
        except DeadlineError as error:
            raise self._failure(error) from error

    def poll(self) -> int | NotYet:
        """Ask for the evictions that are due; 0 when all are gone, or how many are left on a dead node."""
        try:
            self._look()
            for pod in self.left:
                self._ask(pod)
            if self.left and self._is_dead():
                return len(self.left)
        except KubeUnreachableError as error:
            self.unreachable = str(error)  # It may pass: servers restart and leave while a cluster is being kept.
            return NotYet(self.unreachable)
        self.unreachable = ""
        return NotYet(self._problem()) if self.left else 0

    def _look(self) -> None:
        """See which of the pods are left; of others a refusal counts no more."""
        there = {pod.uid: pod for pod in self.kube.pods(on=self.step.machine)}
        self.left = tuple(there[pod.uid] for pod in self.pods if pod.uid in there)
        self.refusals = {uid: refusal for uid, refusal in self.refusals.items() if uid in there}

    def _ask(self, pod: Pod) -> None:
        now_s = self.clock.now_s()
        if pod.leaving or now_s - self.asked_s.get(pod.uid, float("-inf")) < ASK_AGAIN_S:
            return
        self.asked_s[pod.uid] = now_s
        refusal = self.kube.evict(pod)
        if refusal is None:
            self.refusals.pop(pod.uid, None)
        else:
            self.refusals[pod.uid] = refusal

    def _is_dead(self) -> bool:
        """Whether the node has not been Ready for so long that its kubelet cannot be counted on."""
        told: list[KubeNode | None] = []
        self.kube.await_kube_node(self.step.machine, accept=_noting(told), timeout_s=ASK_AGAIN_S)
        if not told or (told[-1] is not None and told[-1].ready):
            self.not_ready_since_s = None
            return False
        if self.not_ready_since_s is None:
            self.not_ready_since_s = self.clock.now_s()
        return self.clock.now_s() - self.not_ready_since_s >= DEAD_AFTER_S

    def _refused(self) -> tuple[tuple[Pod, Refusal], ...]:
        return tuple((pod, self.refusals[pod.uid]) for pod in self.left if pod.uid in self.refusals)

    def _problem(self) -> str:
        refused = self._refused()
        if not refused:
            return f"{some_of(self.left, 3)} {'is' if len(self.left) == 1 else 'are'} still terminating"
        return _blocking(refused)

    def _failure(self, error: DeadlineError) -> DrainError:
        """The error that names what blocks."""
        name, refused = self.step.machine, self._refused()
        ending = [pod for pod in self.left if pod.uid not in self.refusals]
        lines = [f"{pod}: {_reason(refusal)}" for pod, refusal in refused]
        lines += [f"{pod}: did not terminate" for pod in ending]
        if self.unreachable:
            brief, lines, ways = error.brief, [self.unreachable], "check that the Kubernetes API answers"
        elif refused:
            brief = _blocking(refused)
            ways = "scale the workload up so that the PodDisruptionBudget allows an eviction, or remove the budget"
        else:
            brief = f"{count(len(ending), 'pod')} did not terminate within {self.step.timeout_s:.0f} s"
            ways = "check with `kubectl describe pod` what blocks it: a finalizer, or a long grace period"
        return DrainError(
            f"{name} cannot be drained: {brief}",
            details=few_lines(lines),
            resolution=f"{ways}; or allow more time with --drain-timeout, then run the command again",
        )


def _noting(told: list[KubeNode | None]) -> Callable[[KubeNode | None], bool]:
    def accept(kube_node: KubeNode | None) -> bool:
        told.append(kube_node)
        return True

    return accept


def _blocking(refused: tuple[tuple[Pod, Refusal], ...]) -> str:
    budgets = sorted({budget for _, refusal in refused for budget in refusal.budgets})
    pods = count(len(refused), "pod")
    if not budgets:
        return f"Kubernetes refuses the eviction of {pods}"
    if len(budgets) == 1:
        return f"PodDisruptionBudget {budgets[0]} allows no eviction of {pods}"
    return f"PodDisruptionBudgets {', '.join(budgets)} allow no eviction of {pods}"


def _reason(refusal: Refusal) -> str:
    budgets = ", ".join(refusal.budgets)
    return f"{budgets}: {refusal.message}" if budgets else refusal.message

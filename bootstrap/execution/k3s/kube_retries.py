"""Writes to Kubernetes within a run: all go through here, where a moment without an answer does not fail them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypeVar

from bootstrap.advice import Advice
from bootstrap.errors import KubeUnreachableError
from bootstrap.execution.context import RunContext
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.ports import KubeApi
from bootstrap.waiting import NotYet

T = TypeVar("T")

ANSWER_S = 60.0
"""How long the API may stay away: a server that restarts needs seconds, and so does etcd for another leader."""


def once_it_answers(act: Callable[[], T], *, what: str, context: RunContext, timeout_s: float = ANSWER_S) -> T:
    """Do what can be done twice, and again while the API does not answer or says to come again.

    While servers are upgraded, restarted or taken away, the one asked may be without etcd's leader: it then says
    `etcdserver: request timed out` or `leader changed` with status 500, and serves the next request. One that starts
    refuses the connection, then says 503 `apiserver not ready`, then serves.

    Args:
        act: The request.
        what: What is waited for, after "waiting for".
        context: The run.
        timeout_s: How long the API may stay away.

    Raises:
        DeadlineError: No answer in time; details are the last problem.
        KubernetesError: It was refused.
    """

    def poll() -> T | NotYet:
        try:
            return act()
        except KubeUnreachableError as error:
            return NotYet(str(error))

    return context.wait_for(
        what,
        poll,
        every_s=0.5,
        resolution=Advice("check the servers with `homelab-k8s status`, then run the command again"),
        timeout_s=timeout_s,
    )


@dataclass(frozen=True)
class KubeWrites:
    """The writes of a run. Each looks before it acts, so that it can be asked for again; none of them creates.

    Evictions are not among them: a drain asks again by itself, for as long as it may take.
    """

    context: RunContext

    def set_kube_node_metadata(
        self,
        name: MachineName,
        *,
        labels: Mapping[str, str],
        taints: Iterable[Taint],
        stale_labels: Iterable[tuple[str, str]] = (),
        stale_taints: Iterable[Taint] = (),
    ) -> bool:
        """Set labels and taints of a node, and remove stale ones; whether anything changed."""
        wanted, labels_off, taints_off = tuple(taints), tuple(stale_labels), tuple(stale_taints)
        return self._again(
            lambda kube: kube.set_kube_node_metadata(
                name, labels=labels, taints=wanted, stale_labels=labels_off, stale_taints=taints_off
            ),
            f"Kubernetes to label {name}",
        )

    def mark_settings(self, name: MachineName, *, pending: bool) -> None:
        """Note on a node that its k3s is given other settings, or that it runs with them."""
        self._again(lambda kube: kube.mark_settings(name, pending=pending), f"Kubernetes to annotate {name}")

    def set_kube_node_address(
        self, name: MachineName, address: IPv4Address, *, own: Collection[IPv4Address] = ()
    ) -> bool:
        """Set the address that a node, if any, reports, unless it reports one of `own`; whether anything changed."""
        what = f"Kubernetes to record the address of {name}"
        return self._again(lambda kube: kube.set_kube_node_address(name, address, own=own), what)

    def set_unschedulable(self, name: MachineName, *, unschedulable: bool) -> bool:
        """Cordon a node, or lift that; whether anything changed."""
        what = f"Kubernetes to {'cordon' if unschedulable else 'uncordon'} {name}"
        return self._again(lambda kube: kube.set_unschedulable(name, unschedulable=unschedulable), what)

    def delete_kube_node(self, name: MachineName) -> None:
        """Delete a node; the wait for one that a finalizer holds is short."""
        timeout_s = self.context.timeouts.delete_kube_node_s
        self._again(lambda kube: kube.delete_kube_node(name, timeout_s=timeout_s), f"Kubernetes to delete {name}")

    def _again(self, act: Callable[[KubeApi], T], what: str) -> T:
        return once_it_answers(lambda: act(self.context.kube), what=what, context=self.context)

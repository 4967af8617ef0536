"""Writes to Kubernetes that a moment without an answer does not fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bootstrap.errors import KubeUnreachableError
from bootstrap.execution.context import RunContext
from bootstrap.waiting import Condition, NotYet, wait_for

T = TypeVar("T")

ANSWER_S = 60.0
"""How long the API may stay away: a server that restarts needs seconds, and so does etcd for another leader."""


def once_it_answers(act: Callable[[], T], *, what: str, lane: str, context: RunContext) -> T:
    """Do what can be done twice, and again while the API does not answer or says to come again.

    While servers are upgraded, restarted or taken away, the one asked may be without etcd's leader: it then says
    `etcdserver: request timed out` or `leader changed` with status 500, and serves the next request.

    Args:
        act: The request.
        what: What is waited for, after "waiting for".
        lane: Whose.
        context: Of the run.

    Raises:
        DeadlineError: No answer for a minute; details are the last problem.
        KubernetesError: It was refused.
    """

    def poll() -> T | NotYet:
        try:
            return act()
        except KubeUnreachableError as error:
            return NotYet(str(error))

    condition = Condition(
        what=what,
        poll=poll,
        every_s=0.5,
        resolution="`homelab-k8s status` tells how the servers are; then run the command again",
    )
    return wait_for(condition, context.patience(lane, ANSWER_S))

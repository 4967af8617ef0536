"""Asks once, before a run, whether emptyDir volumes of the user's pods may be lost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bootstrap.cli.asking.confirm import YES, typed_after
from bootstrap.errors import DrainError, few_lines
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.cli.running.command_session import Work
    from bootstrap.planning.plan import Plan


def on_a_terminal() -> bool:
    """Whether a user can answer."""
    return sys.stdin.isatty()


def may_lose_emptydir(work: Work, plan: Plan) -> bool:
    """Ask if the user's pods would lose data; `--yes` does not answer that.

    Returns:
        Whether there are such pods, and they may lose their data.

    Raises:
        DrainError: There is no terminal, or the answer is no; nothing was changed.
        InterruptedRunError: Nothing was typed.
    """
    from bootstrap.commands.observing.draining import pods_losing_data

    pods = work.look(lambda: work.homelab.look(lambda spec, ports: pods_losing_data(plan, spec, ports)))
    if not pods:
        return False
    named = few_lines([f"{pod}: emptyDir volume" for pod in pods])
    has = f"{count(len(pods), 'pod')} would lose the data in their emptyDir volumes"
    if not on_a_terminal() or typed_after(f"{named}\n{has}. Continue? [y/N] ").lower() not in YES:
        raise DrainError(
            f"{has}: nothing was changed",
            details=named,
            resolution="move or delete these pods, or pass --delete-emptydir-data (--yes does not include it)",
        )
    return True

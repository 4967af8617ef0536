"""Asks once, before a run, whether the emptyDir volumes of the user's own pods may be lost."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from bootstrap.cli.asking.confirm import YES, typed_after
from bootstrap.cli.text import tables
from bootstrap.errors import DrainError, few_lines

if TYPE_CHECKING:
    from bootstrap.cli.running.command_session import Work
    from bootstrap.planning.plan import Plan
    from bootstrap.planning.provision.decommission import DrainRules


def on_a_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()


class Emptydir:
    """What the user says of emptyDir volumes: by the option, or asked.

    Args:
        work: The command at work.
        rules: What else holds for its drains.
        given: `--delete-emptydir-data`.
    """

    def __init__(self, work: Work, rules: DrainRules, *, given: bool) -> None:
        self._work = work
        self.rules = replace(rules, delete_local_data=given)

    def ask(self, plan: Plan) -> None:
        """Ask where pods of the user's own would lose their data; `--yes` does not answer that.

        Raises:
            DrainError: Nobody is there to ask, or the answer was no; nothing was changed.
            InterruptedRunError: Nothing was typed.
        """
        pods = self._work.look(lambda: self._work.homelab.pods_losing_data(plan))
        if not pods:
            return
        named = few_lines([f"{pod}: emptyDir volume" for pod in pods])
        has = f"{tables.counted(len(pods), 'pod')} would lose the data in their emptyDir volumes"
        if not on_a_terminal() or typed_after(f"{named}\n{has}. Continue? [y/N] ").lower() not in YES:
            raise DrainError(
                f"{has}: nothing was changed",
                details=named,
                resolution="move or delete these pods, or pass --delete-emptydir-data (--yes does not include it)",
            )
        self.rules = replace(self.rules, delete_local_data=True)

    def allowed(self, plan: Plan) -> Plan:
        """The plan with what was allowed."""
        from bootstrap.planning.provision.decommission import with_local_data

        return with_local_data(plan) if self.rules.delete_local_data else plan

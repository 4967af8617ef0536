"""Asks for confirmation before something that cannot be undone."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.cli.text import tables
from bootstrap.cli.text.wrapping import DETAILS_INDENT, columns_of, fitted
from bootstrap.errors import HomelabError, InterruptedRunError, UsageError, few_lines
from bootstrap.model.visible import visible

if TYPE_CHECKING:
    from bootstrap.planning.plan import Plan

_NEW_LINE = "\n"
_ANSWER = 4
"""Columns kept free for the answer."""
YES = ("y", "yes")


@dataclass(frozen=True)
class Question:
    """A question before a run.

    Attributes:
        consequence: What happens, as a sentence: `This removes 3 machines for good.`
        by_name: Whether the user has to type the cluster's name, because data is lost; else `y`.
        otherwise: What the user can do instead.
    """

    consequence: str
    by_name: bool = False
    otherwise: str = ""


def confirm(plan: Plan, question: Question) -> None:
    """Show the plan and ask the user to confirm it, whatever `--progress` is: a question must be seen.

    Raises:
        UsageError: There is no terminal.
        InterruptedRunError: Nothing was typed.
        HomelabError: Something else was typed.
    """
    width = columns_of(sys.stderr)
    if not sys.stdin.isatty():
        table = tables.plan_table(plan, width=max(0, width - len(DETAILS_INDENT)))
        raise UsageError(
            f"{plan.command} of {plan.cluster} needs confirmation, but there is no terminal",
            details="\n".join(filter(None, (question.consequence, few_lines(table.splitlines())))),
            resolution="; ".join(filter(None, ("pass --yes to confirm", question.otherwise))),
        )
    if table := tables.plan_table(plan, width=width):
        sys.stderr.write(f"{table}\n\n")
    asked = f"Type the cluster's name ({plan.cluster}) to continue: " if question.by_name else "Continue? [y/N] "
    fits = not width or len(f"{question.consequence} {asked}") <= width - _ANSWER
    answer = typed_after(f"{question.consequence}{' ' if fits else _NEW_LINE}{asked}")
    if question.by_name and answer != plan.cluster:
        raise HomelabError(f"{answer!r} is not {plan.cluster}: nothing was changed")
    if not question.by_name and answer.lower() not in YES:
        raise HomelabError("not confirmed: nothing was changed", resolution=question.otherwise)


def fitted_question(question: str, *, width: int) -> str:
    """A question wrapped to a width, with room for the answer."""
    return fitted(question.rstrip(" "), max(0, width - _ANSWER)) + " " if width else question


def typed_after(question: str, *, hidden: bool = False, unchanged: str = "changed") -> str:
    """What is typed after a question on the terminal.

    Args:
        question: One or several lines.
        hidden: Do not show what is typed.
        unchanged: What was not done if nothing is typed.

    Raises:
        InterruptedRunError: Ctrl-C or Ctrl-D.
    """
    asked = fitted_question(visible(question), width=columns_of(sys.stderr))
    try:
        if hidden:
            from getpass import getpass  # only for `init`

            typed = getpass(asked, stream=sys.stderr) + "\n"
        else:
            sys.stderr.write(asked)
            sys.stderr.flush()
            typed = sys.stdin.readline()
    except (KeyboardInterrupt, EOFError):
        typed = ""
    if not typed:  # the terminal's cursor is still behind the question
        sys.stderr.write("\n")
        raise InterruptedRunError(f"no input: nothing was {unchanged}")
    return typed.strip()

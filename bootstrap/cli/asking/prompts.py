"""Questions on a terminal. A flag can answer each of them; without a terminal the proposals are accepted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bootstrap.cli.asking.confirm import YES, typed_after
from bootstrap.cli.text.wrapping import columns_of, fitted
from bootstrap.errors import UsageError
from bootstrap.model.visible import visible_line

T = TypeVar("T")
NO = ("n", "no")


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Asks on stderr and reads from stdin.

    Attributes:
        asks: Whether a user can answer; else every proposal is accepted.
    """

    asks: bool

    def ask_hidden(self, question: str, *, check: Callable[[str], T]) -> T:
        """Ask for something that must not be shown, until the answer is valid; it may be empty.

        Args:
            question: Without the colon at its end.
            check: As in `ask`.

        Raises:
            InterruptedRunError: Ctrl-C or Ctrl-D.
        """
        while True:
            try:
                return check(_read(f"{question}: ", hidden=True))
            except UsageError as error:
                self._say(error)

    def ask(self, question: str, *, flag: str, check: Callable[[str], T], proposal: str | None = None) -> T:
        """Ask until the answer is valid.

        Args:
            question: Without the colon at its end.
            flag: The flag that answers it.
            check: Converts the answer, or raises UsageError: then the question is repeated.
            proposal: The value of an empty answer.

        Raises:
            UsageError: No user can answer, and there is no valid proposal.
            InterruptedRunError: Ctrl-C or Ctrl-D.
        """
        if not self.asks:
            if proposal is None:
                raise _unanswered(flag)
            return check(proposal)
        while True:
            typed = _read(f"{question} [{proposal}]: " if proposal is not None else f"{question}: ")
            answer = typed or proposal
            if answer is None:
                continue
            try:
                return check(answer)
            except UsageError as error:
                self._say(error)

    def agree(self, question: str, *, proposal: bool | None, flag: str) -> bool:
        """Ask for yes or no.

        Args:
            question: Without the choice at its end.
            proposal: The value of an empty answer, also without a terminal; None if there is none.
            flag: The flag that answers it.

        Raises:
            UsageError: No user can answer, and there is no proposal.
            InterruptedRunError: Ctrl-C or Ctrl-D.
        """
        if not self.asks:
            if proposal is None:
                raise _unanswered(flag)
            return proposal
        choice = {True: "Y/n", False: "y/N", None: "y/n"}[proposal]
        while True:
            typed = _read(f"{question} [{choice}] ").lower()
            if typed in YES or typed in NO:
                return typed in YES
            if not typed and proposal is not None:
                return proposal

    @staticmethod
    def _say(error: UsageError) -> None:
        parts = filter(None, (error.brief, error.details, error.resolution and f"→ {error.resolution}"))
        lines = [f"  {visible_line(line)}" for part in parts for line in part.splitlines()]
        sys.stderr.write(fitted("\n".join(lines), columns_of(sys.stderr)) + "\n")


def _read(question: str, *, hidden: bool = False) -> str:
    return typed_after(visible_line(question), hidden=hidden, unchanged="written")


def _unanswered(flag: str) -> UsageError:
    return UsageError(
        f"{flag} is missing",
        resolution=f"pass {flag}: nothing is asked with --yes or without a terminal",
    )

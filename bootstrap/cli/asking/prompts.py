"""Questions on a terminal, each of which a flag can answer; where nobody can be asked, the proposal is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from getpass import getpass
from typing import TextIO, TypeVar

from bootstrap.cli.asking.confirm import YES, fitted_question
from bootstrap.cli.text.wrapping import columns_of, fitted
from bootstrap.errors import InterruptedRunError, UsageError
from bootstrap.model.visible import visible_line

T = TypeVar("T")
NO = ("n", "no")


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Asks on stderr and reads from stdin.

    Attributes:
        asks: Whether there is somebody to ask; else every question is answered by its proposal.
    """

    stdin: TextIO
    stderr: TextIO
    asks: bool

    def ask_hidden(self, question: str, *, check: Callable[[str], T]) -> T:
        """Ask on the terminal for what must not show there, until it is an answer; an empty one may be.

        Args:
            question: Without the mark at its end.
            check: As in `ask`.

        Raises:
            InterruptedRunError: Ctrl-C or Ctrl-D.
        """
        while True:
            try:
                return check(self._read(f"{question}: ", hidden=True))
            except UsageError as error:
                self._say(error)

    def ask(self, question: str, *, flag: str, check: Callable[[str], T], proposal: str | None = None) -> T:
        """Ask until the answer is one.

        Args:
            question: Without the mark at its end.
            flag: What answers it on the command line.
            check: Makes a value of the answer, or raises UsageError: the question is put again.
            proposal: What an empty answer means.

        Raises:
            UsageError: Nobody can be asked, and there is no proposal or it will not do.
            InterruptedRunError: Ctrl-C or Ctrl-D.
        """
        if not self.asks:
            if proposal is None:
                raise _unanswered(flag)
            return check(proposal)
        while True:
            typed = self._read(f"{question} [{proposal}]: " if proposal is not None else f"{question}: ")
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
            question: Without the mark at its end.
            proposal: What an empty answer means, and what is taken where nobody can be asked; None for neither.
            flag: What answers it on the command line.

        Raises:
            UsageError: Nobody can be asked, and there is no proposal.
            InterruptedRunError: Ctrl-C or Ctrl-D.
        """
        if not self.asks:
            if proposal is None:
                raise _unanswered(flag)
            return proposal
        choice = {True: "Y/n", False: "y/N", None: "y/n"}[proposal]
        while True:
            typed = self._read(f"{question} [{choice}] ").lower()
            if typed in YES or typed in NO:
                return typed in YES
            if not typed and proposal is not None:
                return proposal

    def _read(self, text: str, *, hidden: bool = False) -> str:
        try:
            if hidden:
                typed = getpass(self._asked(text), stream=self.stderr) + "\n"
            else:
                self.stderr.write(self._asked(text))
                self.stderr.flush()
                typed = self.stdin.readline()
        except (KeyboardInterrupt, EOFError):
            typed = ""
        if not typed:  # the terminal's cursor still stands behind the question
            self.stderr.write("\n")
            raise InterruptedRunError("no input: nothing was written")
        return typed.strip()

    def _asked(self, text: str) -> str:
        return fitted_question(visible_line(text), width=columns_of(self.stderr))

    def _say(self, error: UsageError) -> None:
        parts = filter(None, (error.brief, error.details, error.resolution and f"→ {error.resolution}"))
        lines = [f"  {visible_line(line)}" for part in parts for line in part.splitlines()]
        self.stderr.write(fitted("\n".join(lines), columns_of(self.stderr)) + "\n")


def _unanswered(flag: str) -> UsageError:
    return UsageError(
        f"{flag} is missing",
        resolution=f"pass {flag}: nothing is asked with --yes or without a terminal",
    )

"""Our texts that advise commands, as opposed to words of others that look the same. Pure.

    Advice("{} is powered off: `homelab-k8s up`", machine)

What is shown gets the options of the command that was run (`cli.invocation`), and may then be pasted. So a command is
one in a template that we wrote, never one that is found in a finished sentence: a machine's words in it may hold
a command as well, and lose the backtick that ours begin with. A sentence made in any other way is a plain text, and
nothing in it is completed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from string import Formatter
from typing import Final, Self

PROGRAM: Final = "homelab-k8s"

_COMMAND = re.compile(rf"(?:(?<=`{PROGRAM} )|(?<=^{PROGRAM} ))([^`\n]+)", re.MULTILINE)
"""In backticks, or a line of its own."""
_FORMATTER = Formatter()


class Advice(str):
    """A text, with the places of its commands.

    Attributes:
        commands: Where each command stands, as start and end, without the program's name and without the backticks.
    """

    commands: tuple[tuple[int, int], ...]

    def __new__(cls, template: str, *values: object) -> Self:
        """Fill one of our templates; pieces of advice among the values stay what they are.

        Args:
            template: A text with commands in backticks, such as "`homelab-k8s up`"; `{}` for each value.
            values: Of any origin; inside of a command their words are quoted for the shell.
        """
        text, commands = "", []
        left = iter(values)
        for piece, is_command in _pieces(template):
            if is_command:
                filled = "".join(_filled(piece, left, _words))
                commands.append((len(text), len(text) + len(filled)))
                text += filled
                continue
            for part in _filled(piece, left, None):
                if isinstance(part, Advice):
                    commands += [(len(text) + start, len(text) + end) for start, end in part.commands]
                text += part
        advice = super().__new__(cls, text)
        advice.commands = tuple(commands)
        return advice

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Itself: a filled text must not be read as a template again (`dataclasses.asdict` copies texts so)."""
        return self


def joined(separator: str, texts: Iterable[str]) -> Advice:
    """As `str.join`, with what the texts advise."""
    parts = tuple(texts)
    return Advice(separator.join(["{}"] * len(parts)), *parts)


def with_commands(text: str, complete: Callable[[str, str], str]) -> str:
    """A text with each of its commands as `complete` has it, by the command and what follows it in the text.

    A text that is no advice has none, whatever stands in it.
    """
    if not isinstance(text, Advice):
        return text
    done, since = "", 0
    for start, end in text.commands:
        done += text[since:start] + complete(text[start:end], text[end:].removeprefix("`"))
        since = end
    return done + text[since:]


def _pieces(template: str) -> Iterator[tuple[str, bool]]:
    """The prose and the commands of a template, in turn."""
    for index, piece in enumerate(_COMMAND.split(template)):
        yield piece, bool(index % 2)


def _filled(piece: str, values: Iterator[object], render: Callable[[str], str] | None) -> Iterator[str]:
    for prose, field, form, _ in _FORMATTER.parse(piece):
        yield prose
        if field is not None:
            value = next(values)
            if render is not None:
                yield render(format(value, form or ""))
            else:
                yield value if isinstance(value, Advice) else _quoted(format(value, form or ""))


def _quoted(text: str) -> str:
    """A text of others as it may stand in one of our sentences: nothing in it looks like a command that we advise."""
    return text.replace(f"`{PROGRAM}", f"'{PROGRAM}")


def _words(text: str) -> str:
    return " ".join(map(shlex.quote, text.split(" ")))

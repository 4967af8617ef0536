"""The options of the command that runs, for the commands that our texts advise.

After `status -i lab.yaml --cluster demo`, a plain `homelab-k8s up` would work on another cluster, or on none. So each
place that prints an `Advice` completes the commands in it. Texts quoted from others are no `Advice` and do not change.
Pure but for `invocation_of`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from bootstrap.advice import with_commands

if TYPE_CHECKING:
    import typer

CLUSTER = frozenset({"inventory", "cluster", "lab", "guests", "workers", "control_planes"})
"""Parameters that select the cluster: every command that has them gets them."""
SPEC = frozenset(
    {
        "worker_cores", "worker_memory", "worker_disk", "control_plane_cores", "control_plane_memory",
        "control_plane_disk", "template", "template_build", "clone", "storage", "pool", "vmids", "bridge", "ssh_user",
        "ssh_key", "k3s_version", "k3s_channel", "k3s_artifacts",
    }
)  # fmt: skip
"""Parameters that replace lines of the inventory: only the same command gets them."""
OF_ONE_RUN = frozenset({"yes", "dry_run", "timeout", "trace", "progress", "output", "watch"})
"""Parameters of a single run: never repeated."""


class _Option(Protocol):
    """The part of Typer's options that is read here."""

    opts: list[str]
    secondary_opts: list[str]


_AGAIN = re.compile(r" again\b")


@dataclass(frozen=True, kw_only=True)
class Given:
    """An option that was given: its parameter's name, and its words as they can be typed."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """What was typed.

    Attributes:
        verb: `up`, `template build`; empty if no command is completed.
        options: The given ones, in the order of the command's parameters.
        arguments: The given ones, such as `workers 5`.
        verbs: The options of every command, with their spellings.
    """

    verb: str = ""
    options: tuple[Given, ...] = ()
    arguments: tuple[str, ...] = ()
    verbs: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    def complete(self, text: str) -> str:
        """A text with the commands in it completed, if it is an `Advice`.

        "`homelab-k8s scale` again" is this command again, with its arguments; without that word it is another command,
        without arguments. A complete text is not changed.
        """
        return with_commands(text, lambda line, after: self.command(line, again=bool(_AGAIN.match(after))))

    def command(self, line: str, *, again: bool = False) -> str:
        """A command line without the program's name, completed; unchanged if there is no such command."""
        words = line.split(" ")
        verb = next((each for size in (2, 1) if (each := " ".join(words[:size])) in self.verbs), None)
        if verb is None:
            return line
        rest = words[len(verb.split(" ")) :]
        added = [word for given in self._lacking(verb, rest, again=again) for word in given.words]
        arguments = self.arguments if again and verb == self.verb and not rest else ()
        return " ".join([verb, *map(shlex.quote, added), *rest, *map(shlex.quote, arguments)])

    def _lacking(self, verb: str, rest: Sequence[str], *, again: bool) -> list[Given]:
        """The options that a command should have and does not have yet."""
        takes = self.verbs[verb]
        # A command without an inventory works on no cluster; it may take the guests of the lab.
        wanted = set(CLUSTER if "inventory" in takes else ("guests",))
        if verb == self.verb:
            wanted |= takes.keys() - OF_ONE_RUN if again and not rest else SPEC
        wanted &= takes.keys()
        said = {word.partition("=")[0] for word in takewhile(lambda word: word != "--", rest)}
        return [each for each in self.options if each.name in wanted and not said & takes[each.name]]


def invocation_of(context: typer.Context) -> Invocation:
    """What was typed, from Typer's context of the command."""
    options: list[Given] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[parameter.name or ""]
        if parameter.param_type_name == "option":
            options.append(Given(name=parameter.name or "", words=_words(parameter, value)))
            continue
        arguments += map(str, value if isinstance(value, list | tuple) else [value])
        if parameter.name == "cluster":
            # `adopt demo`: other commands have an option for it.
            options.append(Given(name="cluster", words=("--cluster", str(value))))
    return Invocation(
        verb=context.command_path.partition(" ")[2],
        options=tuple(options),
        arguments=tuple(arguments),
        verbs=dict(_verbs(context.find_root().command, ())),
    )


def _verbs(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, frozenset[str]]]]:
    """Every command below a group, with the options that it takes."""
    for name, each in getattr(command, "commands", {}).items():
        below = (*path, name)
        if hasattr(each, "commands"):
            yield from _verbs(each, below)
        else:
            options = (one for one in each.params if one.param_type_name == "option")
            yield " ".join(below), {one.name: frozenset((*one.opts, *one.secondary_opts)) for one in options}


def _words(option: _Option, value: object) -> tuple[str, ...]:
    """An option as it can be typed, with its shortest name."""
    if getattr(option, "is_flag", False):
        return (min(option.opts if value else option.secondary_opts, key=len),)
    values = value if isinstance(value, list | tuple) else (value,)
    return tuple(word for each in values for word in (min(option.opts, key=len), str(each)))

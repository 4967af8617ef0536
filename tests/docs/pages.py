"""Task pages as lists of steps: commands with the output they show, edits of files, and events in the lab.

A page is plain markdown. Three things in it are steps, in their order:

    ```console
    $ homelab-k8s status          a command; lines up to the next one, or the end of the block, are its output
    home: 2 machines, all Ready
    ```

    In `homelab-k8s.yaml`, set:   what the YAML block below this sentence has is merged into the file

    <!-- lab: WORDS -->           what happens behind the reader's back: a release, a disaster (tests/docs/playing.py)
    <!-- exits 1 -->              the exit code of the next command, where it is not 0
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FENCE = re.compile(r"```(\w*)\s*$")
SET = re.compile(r"In `([\w./-]+)`, set:$")
COMMENT = re.compile(r"<!-- (lab: (?P<lab>.+)|exits (?P<code>\d+)) -->$")


@dataclass(frozen=True)
class Run:
    """A command.

    Attributes:
        line: Its line on the page, counted from 1.
        text: What is typed; lines that end with a backslash are joined with the next.
        first: The line of its first line of output.
        shown: Its output as the page shows it.
        code: The exit code that is expected.
    """

    line: int
    text: str
    first: int
    shown: tuple[str, ...]
    code: int = 0


@dataclass(frozen=True)
class Edit:
    """YAML that is merged into a file."""

    line: int
    file: str
    text: str


@dataclass(frozen=True)
class Event:
    """Something that happens in the lab."""

    line: int
    words: str


Step = Run | Edit | Event


def steps_of(text: str) -> list[Step]:
    """All steps of a page, in order. Raises ValueError with a line where one cannot be meant."""
    lines = text.splitlines()
    steps: list[Step] = []
    code = before = 0
    position = 0
    while position < len(lines):
        line, comment = lines[position], COMMENT.match(lines[position])
        fence = FENCE.match(line)
        if comment and comment["lab"]:
            steps.append(Event(position + 1, comment["lab"]))
        elif comment:
            code = int(comment["code"])
        elif fence:
            end = _end_of_block(lines, position)
            body = lines[position + 1 : end]
            if fence[1] == "console":
                steps.extend(_runs(body, position + 2, code))
                code = 0
            elif fence[1] == "yaml" and (told := SET.search(lines[before])):
                steps.append(Edit(position + 1, told[1], "\n".join(body)))
            position = end
        if line.strip():
            before = position
        position += 1
    return steps


def _end_of_block(lines: Sequence[str], start: int) -> int:
    for position in range(start + 1, len(lines)):
        if lines[position].startswith("```"):
            return position
    raise ValueError(f"line {start + 1}: this block has no end")


def _runs(body: Sequence[str], first: int, code: int) -> Iterator[Run]:
    """The commands of a block; the last one has the exit code that was told."""
    starts = [position for position, line in enumerate(body) if line.startswith("$ ")]
    if not starts or starts[0] != 0:
        raise ValueError(f"line {first}: a console block begins with a command")
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        words, position = body[start][2:], start + 1
        while words.endswith("\\"):
            words = f"{words[:-1].rstrip()} {body[position].strip()}"
            position += 1
        yield Run(first + start, words, first + position, tuple(body[position:end]), code if end == len(body) else 0)


def rewritten(text: str, outputs: Sequence[tuple[Run, Sequence[str]]]) -> str:
    """The page with other output below these commands."""
    lines = text.splitlines()
    for run, output in sorted(outputs, key=lambda one: -one[0].first):
        lines[run.first - 1 : run.first - 1 + len(run.shown)] = output
    return "\n".join([*lines, ""])

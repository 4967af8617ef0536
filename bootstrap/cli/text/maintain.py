"""What `maintain` prints, and what its notices say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from bootstrap.cli.text.documents import Document
from bootstrap.errors import HomelabError

if TYPE_CHECKING:
    from bootstrap.commands.verbs.maintain import Ended
    from bootstrap.planning.verbs.maintain import Task, Upkeep

MAINTAIN_FORMAT = 1
"""Version of the JSON forms; it grows when a key changes its meaning or goes."""

_MOST_DETAILS = 20


def foreseen_text(cluster: str, upkeep: Upkeep) -> str:
    """What the next run would do."""
    tasks = [f"  {number}. {task}" for number, task in enumerate(upkeep.tasks, start=1)]
    healthy = f"{cluster}: healthy; the next `maintain` would"
    return "\n".join([f"{healthy}:", *tasks, *_notes(upkeep.notes)])


def foreseen_document(cluster: str, upkeep: Upkeep) -> Document:
    """The same for programs."""
    return {
        "format": MAINTAIN_FORMAT,
        "cluster": cluster,
        "tasks": list(map(_task, upkeep.tasks)),
        "notes": list(upkeep.notes),
    }


def done_text(cluster: str, done: Sequence[Ended], upkeep: Upkeep) -> str:
    """What was done."""
    lines = [f"  {ended.task}{f' ({ended.note})' if ended.note else ''}" for ended in done]
    closing = f"{cluster}: healthy; " + ("done:" if changes(done) else "nothing to do but the backup:")
    return "\n".join([closing, *lines, *_notes(upkeep.notes)])


def done_document(cluster: str, done: Sequence[Ended], upkeep: Upkeep) -> Document:
    """The same for programs."""
    return {
        "format": MAINTAIN_FORMAT,
        "cluster": cluster,
        "changed": bool(changes(done)),
        "done": [{**_task(ended.task), "note": ended.note or None} for ended in done],
        "notes": list(upkeep.notes),
    }


def changes(done: Iterable[Ended]) -> list[Ended]:
    """What was done besides backups: what people want to hear of."""
    return [ended for ended in done if ended.task.kind != "backup"]


def failure_text(error: HomelabError, done: Sequence[Ended], advise: Callable[[str], str] = str) -> str:
    """A notice of what is wrong, and of what was done before it."""
    details = error.details.splitlines()[:_MOST_DETAILS]
    before = ["", "done before that:", *(f"  {ended.task}" for ended in done)] if done else []
    return "\n".join(
        [error.brief, *(f"  {line}" for line in details), *filter(None, [advise(error.resolution)]), *before]
    )


def _notes(notes: Iterable[str]) -> list[str]:
    return [f"note: {note}" for note in notes]


def _task(task: Task) -> Document:
    return {"kind": task.kind, "says": str(task)}

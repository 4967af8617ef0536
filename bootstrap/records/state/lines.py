"""Records that are a list of lines: the first one says the format. Earlier releases wrote them without it.

# format 1
1740830400 s3cret
"""

from __future__ import annotations

from collections.abc import Iterable

from bootstrap.advice import Advice
from bootstrap.model.reading import Reading, Source

_HEAD = "# format "
_FIRST = 1
"""The format of a text that says none."""


def render_lines(lines: Iterable[str], *, form: int) -> str:
    """The text of a record; empty where there is nothing to keep."""
    kept = tuple(lines)
    return "".join(f"{line}\n" for line in (f"{_HEAD}{form}", *kept)) if kept else ""


def parse_lines(text: str | None, *, newest: int, what: str) -> tuple[str, ...]:
    """The lines of a record below its head.

    Args:
        text: As it was read; None and an empty one have no lines.
        newest: The newest format that this release knows.
        what: What the record is, for the error.

    Raises:
        UnreadableError: A newer release has written it.
    """
    head, *rest = (text or "").splitlines() or [""]
    if not head.startswith(_HEAD):
        return tuple(line for line in (head, *rest) if line)
    source = Source(
        call=f"read {what}",
        who="its file in the state directory",
        resolution=Advice("use the release of homelab-k8s that wrote it, or a newer one"),
    )
    Reading(head.removeprefix(_HEAD), source, "format").integer(_FIRST, newest)
    return tuple(line for line in rest if line)

"""The names of the snapshots that were last seen on servers: shell completion offers them without asking there.

# format 1
1740830400 on-demand-demo-cp-1-1740787200
"""

from __future__ import annotations

from collections.abc import Iterable

from bootstrap.records.state.lines import parse_lines, render_lines

FORMAT = 1
OFFERED_S = 7 * 86400.0
"""How long a name is offered; by then k3s may have removed the snapshot."""


def parse_names(text: str | None, *, now_s: float) -> dict[str, float]:
    """The names that are not too old, and when each was seen (Unix time); other lines count for nothing.

    Raises:
        UnreadableError: A newer release has written it.
    """
    found = {}
    for line in parse_lines(text, newest=FORMAT, what="the names of snapshots"):
        seen, _, name = line.partition(" ")
        if seen.isascii() and seen.isdigit() and len(seen) < 12 and name and now_s - int(seen) <= OFFERED_S:
            found[name] = float(seen)
    return found


def render_names(names: Iterable[str], *, now_s: float, before: dict[str, float] | None = None) -> str:
    """Names that are seen now, after those of before."""
    seen = {**(before or {}), **dict.fromkeys(names, now_s)}
    return render_lines((f"{int(at_s)} {name}" for name, at_s in seen.items()), form=FORMAT)

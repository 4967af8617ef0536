"""Writes what commands print today into the task pages, where it is not what they show.

    python -m tests.docs --write

A page whose output is as shown stays as it is. Of a line that is not printed any more the most similar one takes the
place; where there is none, the whole output is written: leave out of it what readers do not need.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.docs.lab import PAGES, player
from tests.docs.pages import rewritten


def main() -> int:
    """Play all pages, one after another."""
    if sys.argv[1:] != ["--write"]:
        print(__doc__, file=sys.stderr)
        return 2
    with player(write=True) as playing:
        for page in PAGES:
            playing.play(page)
            if playing.outputs:
                page.write_text(rewritten(page.read_text(encoding="utf-8"), playing.outputs), encoding="utf-8")
                print(f"{page.relative_to(Path.cwd())}: {len(playing.outputs)} outputs written")
    return 0


if __name__ == "__main__":
    sys.exit(main())

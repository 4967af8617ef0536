"""The files that run on guests: `bootstrap/data/guest` and `bootstrap/data/units`, as package data."""

from __future__ import annotations

import importlib.resources
import re
from functools import cache

_NEEDS = re.compile(r"^# needs: (.+)$", re.MULTILINE)


@cache
def guest_file(name: str) -> bytes:
    """A guest file's content by its name. Raises FileNotFoundError (a bug in this program)."""
    for folder in ("guest", "units"):
        file = importlib.resources.files("bootstrap") / "data" / folder / name
        if file.is_file():
            return file.read_bytes()
    raise FileNotFoundError(f"no guest file is called {name!r}")


@cache
def files_for(script: str) -> tuple[str, ...]:
    """Names of all files that a script needs: itself, and those in its `# needs: NAME...` lines."""
    text = guest_file(script).decode()
    return (script, *(name for line in _NEEDS.findall(text) for name in line.split()))

"""Words that go with numbers."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """A number with its noun, in the plural where there is not just one: `1 core`, `2 cores`, `0 addresses`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"

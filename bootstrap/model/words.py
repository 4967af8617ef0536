"""Words that go with numbers, and words that were meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def count(number: int, noun: str) -> str:
    """A number with its noun, in the plural where there is not just one: `1 core`, `2 cores`, `0 addresses`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def did_you_mean(word: str, known: Iterable[str], *, most: int = 1) -> str:
    """The known words next to a mistyped one, as a question: `did you mean workers?`; empty where none is near."""
    by_lower = {each.lower(): each for each in known}
    near = [by_lower[each] for each in get_close_matches(word.lower(), by_lower, n=most)]
    return f"did you mean {' or '.join(near)}?" if near else ""

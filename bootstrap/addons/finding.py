"""Something that is wrong with what is wanted of an add-on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem.

    Attributes:
        path: Where, within the item of the inventory's `manifests`: `addon`, or `values.KEY`.
        hint: What to do; may be empty.
    """

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """In one line."""
        return f"{self.path}: {self.message}{f' ({self.hint})' if self.hint else ''}"

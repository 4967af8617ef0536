"""The inventory's notes in a VM's description: a block of their own, beside the record and what users wrote there.

Proxmox VE shows descriptions as Markdown, in which the lines around the block are comments and not shown.
"""

from __future__ import annotations

BEGIN = "<!-- homelab-k8s notes: begin; `up` overwrites them -->"
END = "<!-- homelab-k8s notes: end -->"


def notes_in(description: str) -> str:
    """The notes in a description, without a newline at their end; empty where there are none."""
    lines = description.splitlines(keepends=True)
    block = _block(lines)
    return "" if block is None else "".join(lines[block.start + 1 : block.stop - 1]).removesuffix("\n")


def with_notes(description: str, notes: str) -> str:
    """A description with these notes, or without any where they are empty; the rest stays, byte for byte."""
    if notes_in(description) == notes:
        return description
    lines = description.splitlines(keepends=True)
    block = _block(lines)
    text = f"{BEGIN}\n{notes}\n{END}" if notes else ""
    if block is None:
        separator = "" if not description or description.endswith("\n") else "\n"
        return f"{description}{separator}{text}"
    before, after = "".join(lines[: block.start]), "".join(lines[block.stop :])
    if text:
        return f"{before}{text}\n{after}" if after else f"{before}{text}"
    return before + after if after else before.removesuffix("\n")


def _block(lines: list[str]) -> range | None:
    """The lines of the first whole block, with the comments around it."""
    begin: int | None = None
    for number, line in enumerate(lines):
        word = line.rstrip("\r\n")
        if word == BEGIN:
            begin = number
        elif word == END and begin is not None:
            return range(begin, number + 1)
    return None

"""Changes one value in the user's inventory file, and nothing else of it.

ruamel.yaml finds the value's place in the text; the text around it is kept byte by byte, with comments, order, quotes
and line ends. The file's mode and owner are kept, a symbolic link is followed, and readers see the old file or the new
one.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bootstrap.adapters.local.files import locked, replace_file
from bootstrap.errors import HomelabError
from bootstrap.inventory.regular import read_regular

Keys = tuple[str, ...]
_BOM = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A value as the file states it.

    Attributes:
        keys: Where: `("workers", "count")`; the short form `workers: 3` is at `("workers",)`.
        text: As written, without quotes.
    """

    keys: Keys
    text: str


@dataclass(frozen=True)
class _Place:
    start: int
    end: int
    text: str
    quote: str


def stated(path: Path, candidates: Iterable[Keys]) -> Stated | None:
    """The first of some values that the file states, or None.

    Raises:
        HomelabError: The file cannot be read.
    """
    text = _text(_bytes(path), path)
    for keys in candidates:
        place = _place(text, keys, path)
        if place is not None:
            return Stated(keys=keys, text=place.text)
    return None


def change(path: Path, was: Stated, value: str) -> str:
    """Replace a value that the file states.

    Args:
        path: The file.
        was: What it stated when it was read; if it differs now, the file was changed by others.
        value: A plain scalar: a number or a version.

    Returns:
        What changed, as a unified diff.

    Raises:
        HomelabError: It cannot be written, or was changed by others; it is left unchanged.
    """
    try:
        target = path.resolve(strict=True)
        with locked(target.parent):
            raw = _bytes(target)
            before = _text(raw, path)
            after = _changed(before, was, value, path)
            _replace(target, after.encode("utf-8"))
    except OSError as error:
        raise HomelabError(
            f"cannot write the inventory {path}", details=error.strerror or str(error), resolution="edit it by hand"
        ) from error
    return _diff(before, after, str(path))


def _diff(before: str, after: str, name: str) -> str:
    old, new = (text.removeprefix(_BOM).splitlines() for text in (before, after))
    return "\n".join(difflib.unified_diff(old, new, name, name, n=1, lineterm=""))


def _changed(text: str, was: Stated, value: str, path: Path) -> str:
    place = _place(text, was.keys, path)
    if place is None or place.text != was.text:
        now = f"it says {place.text} now" if place is not None else "it no longer contains the key"
        raise HomelabError(
            f"{path} was changed by another program and was not overwritten",
            details=f"{'.'.join(was.keys)}: {now}, {was.text} before",
            resolution="edit it by hand",
        )
    return f"{text[: place.start]}{place.quote}{value}{place.quote}{text[place.end :]}"


def _place(text: str, keys: Keys, path: Path) -> _Place | None:
    """A scalar's place in a text; None where the key is missing, or holds more than a scalar."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import MappingNode, ScalarNode

    skipped = len(text) - len(text.removeprefix(_BOM))
    try:
        node = YAML().compose(text[skipped:])
    except YAMLError as error:
        raise HomelabError(
            f"{path} would no longer be YAML", details=str(error), resolution="edit it by hand"
        ) from error
    for key in keys:
        if not isinstance(node, MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    if not isinstance(node, ScalarNode):
        return None
    start, end = node.start_mark.index + skipped, node.end_mark.index + skipped
    quote = node.style if node.style in ("'", '"') else ""
    # Block scalars and escapes have more than one form: such a value is left to its author.
    if text[start:end] != f"{quote}{node.value}{quote}":
        return None
    return _Place(start=start, end=end, text=node.value, quote=quote)


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise HomelabError(f"cannot read the inventory {path}", details=error.strerror or str(error)) from error


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HomelabError(f"{path} is no longer UTF-8", details=str(error)) from error


def _replace(target: Path, raw: bytes) -> None:
    """Replace the content, keeping mode and owner. Raises OSError."""
    there = target.stat()
    if not there.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(target, os.W_OK):
        raise PermissionError(13, "it is read-only")
    replace_file(target, raw, like=there)

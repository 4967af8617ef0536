"""Texts of others, made visible where they are rendered: what steers a terminal or hides in a line is escaped. Pure.

Names of VMs, records, what guests and kubelets say: all of it may hold ESC and OSC (a terminal obeys them: titles,
links, the clipboard), C1 controls, characters that turn a line's direction around, or that have no width. Whatever
Python does not call printable (Unicode's categories Other and Separator, but for the blank) is shown as Python writes
it in a string: by its number.

Each place that writes for people calls one of these once, on what it writes: views, results, questions, the log, pages.
Values stay as they are.
"""

from __future__ import annotations

import re

_IN_TEXT = re.compile(r"[^\n\t -~]")
_IN_LINE = re.compile(r"[^ -~]")


def visible(text: str) -> str:
    """Text of any number of lines; ends of lines and tabs stay."""
    return _IN_TEXT.sub(_escape, text)


def visible_line(text: str) -> str:
    """A text that has to stay in its line or cell: an end of a line is escaped, too."""
    return _IN_LINE.sub(_escape, text)


def visible_json(text: str) -> str:
    """JSON with the same values and none of these characters."""
    return _IN_TEXT.sub(_json_escape, text)


def visible_yaml(text: str) -> str:
    """As `visible_json`; texts with such characters have to be double-quoted."""
    return _IN_TEXT.sub(_yaml_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def _json_escape(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", errors="surrogatepass").hex()
    return "".join(f"\\u{units[index : index + 4]}" for index in range(0, len(units), 4))


def _yaml_escape(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else f"\\U{ord(character):08x}"

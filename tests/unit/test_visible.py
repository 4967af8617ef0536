"""No character that steers a terminal, hides or turns a line around comes through; all others do."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.cli.text.documents import Output, render
from bootstrap.model.visible import visible, visible_json, visible_line
from bootstrap.reporting.markup import html_text


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\x1b", r"\x1b"), ("\x07", r"\x07"), ("\0", r"\x00"), ("\r", r"\r"), ("\b", r"\x08"), ("\x7f", r"\x7f"),
        ("\x9b", r"\x9b"), ("\x85", r"\x85"), ("\xad", r"\xad"), ("\u061c", r"\u061c"), ("\u200b", r"\u200b"),
        ("\u200d", r"\u200d"), ("\u200e", r"\u200e"), ("\u200f", r"\u200f"), ("\u202a", r"\u202a"),
        ("\u202e", r"\u202e"), ("\u2066", r"\u2066"), ("\u2069", r"\u2069"), ("\u2028", r"\u2028"),
        ("\u2029", r"\u2029"), ("\ufeff", r"\ufeff"), ("\U000e0041", r"\U000e0041"), ("\ud800", r"\ud800"),
    ],
)  # fmt: skip
def test_what_a_terminal_obeys_or_hides_is_shown_by_its_number(character: str, shown: str) -> None:
    assert visible(f"a{character}b") == visible_line(f"a{character}b") == f"a{shown}b"


def test_what_people_write_stays() -> None:
    text = "Größe: 3 → 4 … “ä”, 日本語, עברית, ✓ 🐧 C:\\x1b"
    assert visible(text) == visible_line(text) == text


def test_a_text_keeps_its_lines_and_a_line_has_but_one() -> None:
    assert visible("a\n\tb\r\n") == "a\n\tb\\r\n"
    assert visible_line("a\n\tb") == r"a\n\tb"


def test_a_page_has_neither_tags_nor_what_hides() -> None:
    assert html_text('<b title="x">\u202e\x1b') == "&lt;b title=&quot;x&quot;&gt;\\u202e\\x1b"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_documents_hold_the_same_values_and_nothing_that_hides(text: str) -> None:
    document = {"machines": [{"name": text, text: "x"}], "note": f"a {text} b"}
    as_json, as_yaml = render(document, Output.JSON), render(document, Output.YAML)
    assert json.loads(as_json) == document
    assert yaml.safe_load(as_yaml) == document
    for form in (as_json, as_yaml):
        assert visible(form) == form


@given(st.text())
def test_any_text_as_json_stays_it(text: str) -> None:
    shown = visible_json(json.dumps([text], ensure_ascii=False))
    assert json.loads(shown) == [text]
    assert visible(shown) == shown

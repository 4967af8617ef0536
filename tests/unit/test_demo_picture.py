"""The picture in the README is what the terminal's view makes of the recorded run."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import load_script

ROOT = Path(__file__).parents[2]
TEXT = re.compile(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*clip-path[^>]*>([^<]*)</text>')


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("demo_svg")


def lines_of(svg: str) -> list[str]:
    """The lines of text in a picture, from top to bottom."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in TEXT.findall(svg):
        rows.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ")))
    lines = ("".join(text for _, text in sorted(row)).rstrip() for _, row in sorted(rows.items()))
    return [re.sub(r"\s+", " ", line) for line in lines if line]


def test_it_is_current(script: ModuleType) -> None:
    console = script.drawn(script.read())
    shown = [re.sub(r"\s+", " ", line.rstrip()) for line in console.export_text(clear=False).splitlines()]
    assert lines_of((ROOT / "docs" / "demo.svg").read_text()) == [line for line in shown if line], (
        "draw it: .ci/demo_svg.py"
    )
    assert "lab: 4 machines, all Ready; nothing to do" in shown


def test_it_loads_nothing_from_elsewhere() -> None:
    assert "url(http" not in (ROOT / "docs" / "demo.svg").read_text()

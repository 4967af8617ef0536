"""docs/records.md lists every record and every item of the state directory."""

from __future__ import annotations

import re
from pathlib import Path

from bootstrap.records.state import state_items

ROOT = Path(__file__).parents[3]
DOC = (ROOT / "docs" / "records.md").read_text()


def test_every_state_item_is_in_the_table_and_no_other() -> None:
    section = DOC.partition("## In the state directory")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))
    named = {value for name, value in vars(state_items).items() if name.isupper() and isinstance(value, str)}
    assert listed == {f"{name}UUID" if name == state_items.HOST_KEYS else name for name in named}


def test_every_module_with_a_format_is_named() -> None:
    versioned = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bootstrap" / "records").rglob("*.py")
        if re.search(r"^FORMAT = ", path.read_text(), re.MULTILINE)
    ]
    assert len(versioned) > 7
    assert [path for path in versioned if f"`{path}`" not in DOC] == []


def test_the_formats_in_the_table_are_those_of_the_code() -> None:
    rows = re.findall(r"\| `(bootstrap/records/[\w/]+\.py)` \| ([0-9]+) \|", DOC)
    assert len(rows) > 7
    for path, form in rows:
        assert re.search(rf"^FORMAT = {form}$", (ROOT / path).read_text(), re.MULTILINE), path

"""What is printed and documented has the words that users know: no archaisms, no words of the code's inside."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]

BANNED: Final = re.compile(
    r"\b(?:anew|mends?|mended|whoever|whomever|lest|by now|gives? way|lives on|(?:is|are) to be had|those that"
    r"|half-made|cannot be asked|of ours|nobody|somebody|what is there|tells)\b",
    re.IGNORECASE,
)
INSIDE: Final = re.compile(r"\b(?:lanes?|traces?|gates?)\b", re.IGNORECASE)
"""How a plan is made: shown with `--dry-run -v` and in traces alone."""

EXCEPTIONS: Final = {
    "bootstrap/lab/": "the lab's faults and front: for developers",
    "bootstrap/planning/checks/status_problems.py": "the state half-made, a value in JSON",
    "bootstrap/cli/text/status.py": "translates that value",
}
INSIDE_EXCEPTIONS: Final = {
    "bootstrap/lab/": "as above",
    "bootstrap/reporting/": "the chart's markup, and the trace, which has gates",
    "bootstrap/cli/options.py": "--trace",
    "bootstrap/cli/running/": "--trace, and records of a run",
    "bootstrap/cli/text/documents.py": "keys of JSON",
    "bootstrap/cli/views/json_lines.py": "keys of JSON",
    "bootstrap/execution/runner.py": "a plan that contradicts itself: a bug",
}
EVERYWHERE: Final = re.compile(
    r"\b(?:anew|mends?|mended|whoever|whomever|lest|by now|gives? way|lives on|(?:is|are) to be had|half-made)\b",
    re.IGNORECASE,
)
"""Not even in the pages for those who look closer."""
PAGES: Final = (
    "README.md",
    "SECURITY.md",
    *(f"docs/{name}.md" for name in ("getting-started", "cli", "status", "scaling", "backup", "rebuilding")),
    "docs/troubleshooting.md",
)


def texts(source: str) -> Iterator[tuple[int, str]]:
    """The string constants of a module that are sentences, with their lines; docstrings are none."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docs
            and " " in node.value
        ):
            yield node.lineno, node.value


def found(banned: re.Pattern[str], exceptions: dict[str, str]) -> list[str]:
    return [
        f"{name}:{line}: {match[0]}: {text}"
        for path in sorted((ROOT / "bootstrap").rglob("*.py"))
        if not (name := str(path.relative_to(ROOT))).startswith(tuple(exceptions))
        for line, text in texts(path.read_text(encoding="utf-8"))
        if (match := banned.search(text))
    ]


def test_nothing_printed_has_a_word_that_users_do_not_know() -> None:
    assert found(BANNED, EXCEPTIONS) == []


def test_nothing_printed_speaks_of_the_codes_inside() -> None:
    assert found(INSIDE, INSIDE_EXCEPTIONS) == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_for_users_has_such_a_word(page: str) -> None:
    prose = re.sub(r"`[^`]*`", "", (ROOT / page).read_text(encoding="utf-8"))
    assert BANNED.findall(prose) == []


def test_the_list_finds_a_sentence_and_leaves_docstrings_alone() -> None:
    source = '"""It is made anew."""\ntext = f"{name} is made anew"\n'
    assert [text for _, text in texts(source) if BANNED.search(text)] == [" is made anew"]


def test_no_page_at_all_has_an_archaism() -> None:
    pages = {page.name: re.sub(r"`[^`]*`", "", page.read_text(encoding="utf-8")) for page in ROOT.glob("docs/*.md")}
    assert {name: words for name, page in pages.items() if (words := EVERYWHERE.findall(page))} == {}

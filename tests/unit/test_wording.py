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
    "bootstrap/planning/checks/status_problems.py": "the states half-made and out of sight, values in JSON",
    "bootstrap/cli/text/status.py": "translates those values",
}
INSIDE_EXCEPTIONS: Final = {
    "bootstrap/lab/standin/kubelet/": "the kubelet's flags",
    "bootstrap/reporting/": "the chart's markup, and the trace, which has gates",
    "bootstrap/cli/options.py": "--trace",
    "bootstrap/cli/running/": "--trace, and records of a run",
    "bootstrap/cli/text/documents.py": "keys of JSON",
    "bootstrap/cli/views/json_lines.py": "keys of JSON",
    "bootstrap/execution/runner.py": "a plan that contradicts itself: a bug",
}
ODD: Final = re.compile(
    r"\b(?:anybody|everybody|(?:is|are|was|were|been) told|told (?:of|by|that)|those who|that (?:is|are) there"
    r"|is no more|but for|puts? back|put right|go(?:es)? on|under way|at hand|what lacks|of one's|lends?|all else"
    r"|passed over|out of sight|wants to be|counts just so|(?:is|are) to have|has (?:a|no) say|somebody else"
    r"|every problem at once|with that word|without a word|stands? in for|rests? on|of somebody|owing to)\b",
    re.IGNORECASE,
)
"""Further phrases that were taken out of the pages: each is shorter or clearer in other words."""
ODD_EXCEPTIONS: Final = {
    **EXCEPTIONS,
    "bootstrap/k3s/diagnosis/unit.py": "a mark in the output of a script",
    "bootstrap/lab/simulated/scripts/scripts.py": "that mark",
}
PAGES: Final = sorted(
    str(path.relative_to(ROOT))
    for top in ("*.md", "docs/*.md", "bootstrap/**/*.md", "tests/**/*.md", "manifests/**/*.md")
    for path in ROOT.glob(top)
    if path.name != "CHANGELOG.md"
)
INSIDE_PAGES: Final = {
    "CONTRIBUTING.md": "explains lanes and gates",
    "docs/architecture.md": "explains them",
    "docs/performance.md": "explains how a trace shows them",
    "docs/cli.md": "keys of JSON, and --trace",
    "docs/credentials.md": "--trace",
    "docs/lxc.md": "a feature gate of Kubernetes",
}


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


def test_nothing_printed_has_an_odd_phrase() -> None:
    assert found(ODD, ODD_EXCEPTIONS) == []


def test_nothing_printed_speaks_of_the_codes_inside() -> None:
    assert found(INSIDE, INSIDE_EXCEPTIONS) == []


def prose(page: str) -> str:
    """A page without what is set as code: samples of output and keys of JSON keep their words."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`", "", re.sub(r"^ {4,}.*$", "", text, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_word_that_users_do_not_know(page: str) -> None:
    assert BANNED.findall(prose(page)) == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_an_odd_phrase(page: str) -> None:
    assert ODD.findall(prose(page)) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in INSIDE_PAGES])
def test_no_page_for_users_speaks_of_the_codes_inside(page: str) -> None:
    assert INSIDE.findall(prose(page)) == []


def test_the_changelog_has_no_archaism() -> None:
    assert BANNED.findall(prose("CHANGELOG.md")) == []


def test_no_key_of_the_inventory_has_an_odd_phrase() -> None:
    assert ODD.findall(prose("docs/inventory.md")) == ODD.findall(prose("inventories/schema.json")) == []


def test_the_list_finds_a_sentence_and_leaves_docstrings_alone() -> None:
    source = '"""It is made anew."""\ntext = f"{name} is made anew"\n'
    assert [text for _, text in texts(source) if BANNED.search(text)] == [" is made anew"]


def test_the_list_finds_an_odd_phrase_and_leaves_code_alone() -> None:
    assert ODD.findall("What lacks is told, all else goes on; `all else` is code.".replace("`all else`", "")) == [
        *("What lacks", "is told", "all else", "goes on")
    ]

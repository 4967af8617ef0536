"""Errors of hundreds of machines stay readable."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import bootstrap
from bootstrap.errors import HomelabError, InterruptedRunError, RunFailedError, few_lines, head_and_tail


def test_ten_lines_are_told_and_the_rest_is_counted() -> None:
    lines = [str(number) for number in range(12)]
    assert few_lines(lines[:10]) == "\n".join(lines[:10])
    assert few_lines(lines).splitlines() == [*lines[:10], "... and 2 more"]
    assert few_lines([]) == ""


def test_hundreds_of_lanes_with_one_cause_are_one_entry_and_all_there_as_values() -> None:
    failures = tuple(
        (
            f"demo-workers-{n}",
            HomelabError(f"cannot clone VM {n} (demo-workers-{n})", details=f"no space for {n}\nmore"),
        )
        for n in range(1, 301)
    )
    error = RunFailedError("up of demo failed", failures)
    assert error.details.splitlines() == [
        "demo-workers-1, demo-workers-2 and 298 more: cannot clone VM 1 (demo-workers-1)",
        "  no space for 1",
    ]
    assert error.failures == failures
    assert error.full_details.count("  more") == 300


def test_lanes_that_failed_of_different_causes_tell_each_and_a_handful_at_most() -> None:
    failures = tuple(
        (f"lane-{word}", HomelabError(f"lane-{word}: {word}", details=f"{word} why")) for word in "abcdefg"
    )
    lines = RunFailedError("up of demo failed", failures).details.splitlines()
    assert lines[:4] == ["lane-a: a", "  a why", "lane-b: b", "  b why"]
    assert lines[10:] == ["... and 2 more, see the log"]


def test_an_interrupted_run_of_hundreds_of_lanes_is_ten_lines_of_text() -> None:
    error = InterruptedRunError("interrupted", details="\n".join(f"demo-workers-{n}: not started" for n in range(300)))
    assert error.details.splitlines()[9:] == ["demo-workers-9: not started", "... and 290 more"]


class TestHeadAndTail:
    def test_short_texts_stay_as_they_are(self) -> None:
        text = "\n".join(map(str, range(50)))
        assert head_and_tail(f"\n{text}\n") == text

    def test_of_many_lines_the_middle_goes(self) -> None:
        text = "\n".join(f"line {number}" for number in range(5000))
        lines = head_and_tail(text, head=2, tail=3).splitlines()
        assert lines == ["line 0", "line 1", "... 4995 lines left out ...", "line 4997", "line 4998", "line 4999"]

    def test_of_a_long_line_the_end_stays_too(self) -> None:
        assert head_and_tail("a" * 1000 + "z", line=10) == "aaaaaaaa ... 991 characters left out ... az"

    @pytest.mark.parametrize("text", ["x" * 20_000_000, "x\n" * 10_000_000], ids=["one line", "many"])
    def test_it_is_quick_and_short_whatever_comes(self, text: str) -> None:
        short = head_and_tail(text)
        assert "left out" in short
        assert len(short) < 3000


def test_an_error_keeps_of_endless_details_the_beginning_and_the_end() -> None:
    error = HomelabError("it failed: " + "b" * 100_000, details="first\n" + "middle\n" * 1_000_000 + "last")
    assert len(error.brief) < 5000
    assert error.details.startswith("first\nmiddle\n")
    assert error.details.endswith("middle\nlast")
    assert len(error.details.splitlines()) < 500


def test_every_text_that_advises_a_command_is_advice_and_has_its_values() -> None:
    """A text in plain quotes is shown as it stands, without the options that select the cluster."""
    root = Path(bootstrap.__file__).parent
    found = 0
    for path in root.rglob("*.py"):
        if "lab" in path.relative_to(root).parts[:1]:
            continue
        for text, call in literals(ast.parse(path.read_text(encoding="utf-8")), None):
            where = f"{path.relative_to(root)}:{text.lineno}"
            if call is not None and name_of(call) == "Advice":
                found += 1
                assert isinstance(text, ast.Constant), f"{where}: values are arguments of Advice, not in an f-string"
                fields = [field for _, field, _, _ in Formatter().parse(str(text.value)) if field is not None]
                starred = any(isinstance(each, ast.Starred) for each in call.args)
                assert set(fields) <= {""}, where
                assert starred or len(fields) == len(call.args) - 1, f"{where}: {len(fields)} places"
            elif call is None or name_of(call) not in ("_final", "_passing", "Cause"):  # filled in by Cause.advice
                said = text.value if isinstance(text, ast.Constant) else ast.unparse(text)
                assert "`homelab-k8s " not in str(said), f"{where}: advise commands by Advice(...)"
    assert found > 100


def literals(node: ast.AST, call: ast.Call | None) -> Iterator[tuple[ast.Constant | ast.JoinedStr, ast.Call | None]]:
    """Each text below a node, docstrings apart, with the call that it is the first or a named argument of."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        yield node, call
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        named = isinstance(node, ast.keyword) or (isinstance(node, ast.Call) and child in node.args)
        of = node if isinstance(node, ast.Call) else call
        first = not isinstance(node, ast.Call) or name_of(node) != "Advice" or child is node.args[0]
        yield from literals(child, of if (named or isinstance(child, ast.keyword)) and first else None)


def name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""

"""YAML, strictly: what PyYAML would take in silence is told with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.inventory.document import Broken, Mapping, Scalar, compose
from bootstrap.inventory.problems import Problems
from tests.unit.inventory.kit import Load, Told


@pytest.mark.parametrize(
    ("text", "line", "path", "message"),
    [
        ("", 1, "", "the file is empty"),
        ("# only a comment\n", 1, "", "the file is empty"),
        ("--- \n", 1, "", "the file must hold a mapping"),
        ("- a\n", 1, "", "the file must hold a mapping"),
        ("demo\n", 1, "", "the file must hold a mapping"),
        ("cluster: a\ncluster: b\n", 2, "cluster", "is repeated, first in line 1"),
        ("ssh:\n  user: a\n  user: b\n", 3, "ssh.user", "is repeated, first in line 2"),
        ("cluster: a\n---\ncluster: b\n", 2, "", "a second document begins here"),
        ("ssh: &x {user: a}\nk3s: *x\n", 2, "k3s", "*x is an alias"),
        ("cluster: *x\n", 1, "cluster", "*x is an alias"),
        ("ssh:\n  <<: {user: a}\n", 2, "ssh", "`<<` merges are not supported"),
        ("cluster: !name a\n", 1, "cluster", "has a YAML tag"),
        ("cluster: !!python/object:os.system a\n", 1, "cluster", "has a YAML tag"),
        ("ssh: !x {user: a}\n", 1, "ssh", "has a YAML tag"),
        ("onboot: !!bool true\n", 1, "onboot", "has a YAML tag"),
        ("cluster: a\nno: b\n", 2, "", "YAML takes the key 'no' for a bool"),
        ("pools:\n  on: {}\n", 2, "pools", "YAML takes the key 'on' for a bool"),
        ("? [a]\n: b\n", 1, "", "a key must not be a list or a mapping"),
        ("cluster: a\nssh:\n\tuser: b\n", 3, "", "a tab where YAML wants spaces"),
        ("cluster: a\nk3s: [a\n", 2, "", "not YAML: did not find expected ',' or ']' (while parsing a flow sequence)"),
        ("cluster: a\nssh: b: c\n", 2, "", "a colon where no key can be: quote the value, or fix the indentation"),
        ("cluster: a\n\x01\n", 2, "", "a control character (U+0001) is not allowed"),
        ("[" * 40 + "]" * 40, 1, "", "nested deeper than 16 levels"),
        ("[" * 100_000, 1, "", "nested deeper than 16 levels"),
    ],
)
def test_each_trap_is_one_problem(told: Told, text: str, line: int, path: str, message: str) -> None:
    assert [(problem.line, problem.path, problem.message) for problem in told(text)] == [(line, path, message)]


def test_a_byte_order_mark_and_an_explicit_string_are_no_problem(load: Load) -> None:
    assert load("\ufeffcluster: !!str no\n").spec.name == "no"


def test_problems_in_the_tree_do_not_hide_those_of_values(told: Told) -> None:
    found = told("cluster: a\ncluster: b\nonboot: yes\nssh: *x\nvlan: 5\n")
    assert [problem.line for problem in found] == [2, 3, 4, 5]


def test_every_value_knows_its_line() -> None:
    problems = Problems()
    tree = compose("a: 1\nb:\n  c: x\n  d:\n    - y\n    - z\n", problems)
    assert isinstance(tree, Mapping)
    inner = tree.entries["b"]
    assert isinstance(inner, Mapping)
    assert (tree.lines, inner.line, inner.lines) == ({"a": 1, "b": 2}, 2, {"c": 3, "d": 4})
    assert inner.entries["c"] == Scalar(text="x", plain=True, line=3)
    assert len(problems) == 0


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@`#, \n\t01?<=~\x00\x85é"), max_size=40))
def test_any_text_gives_a_tree_or_a_problem(text: str) -> None:
    problems = Problems()
    tree = compose(text, problems)
    assert len(problems) or not isinstance(tree, Broken)

"""Files become objects as kubectl reads them; what is wrong with them is noted, all of it."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.manifests.documents import Documents
from bootstrap.manifests.errors import shown
from bootstrap.manifests.values import Object

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\ufffe\uffff"))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=10,
)


def read(*texts: str) -> Documents:
    documents = Documents()
    for number, text in enumerate(texts):
        documents.read(f"{'abc'[number]}.yaml", text)
    documents.check_together()
    return documents


def problems(*texts: str) -> list[str]:
    return [shown(problem).partition(" (")[0] for problem in read(*texts).problems]


def bodies(*texts: str) -> list[Object]:
    documents = read(*texts)
    assert documents.problems == []
    return [each.body for each in documents.manifests]


@given(st.dictionaries(_WORDS, _JSON, max_size=4))
def test_any_json_in_an_object_stays_what_it_is(data: dict[str, object]) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}
    assert bodies(json.dumps(body, ensure_ascii=False)) == [body]
    assert bodies(yaml.safe_dump(body, default_style='"')) == [body]


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_or_refused(text: str) -> None:
    documents = read(text)
    assert all(problem.message for problem in documents.problems)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-31", "2026-01-31"), ("22:22", "22:22"), ("yes", True), ("0644", 420), ("0x1f", 31), ("1e3", 1000),
        ("1.5", 1.5), ("1.0", 1), ('"1"', "1"), ("=", "="), ("~", None), ("1.2.3", "1.2.3"), ("-", [None]),
    ],
)  # fmt: skip
def test_values_are_what_kubectl_takes_them_for(written: str, meant: object) -> None:
    (body,) = bodies(f"{MAP}data:\n  x: {written}\n" if written != "-" else f"{MAP}data:\n  x:\n  -\n")
    value = body["data"]["x"]
    assert value == meant
    assert type(value) is type(meant)


def test_documents_lists_and_empty_ones() -> None:
    secret = "{apiVersion: v1, kind: Secret, metadata: {name: b}}"
    text = f"{MAP}---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- {secret}\n"
    typed = "kind: ConfigMapList\napiVersion: v1\nitems:\n- metadata: {name: c}\n"
    documents = read(text, typed)
    assert documents.problems == []
    assert [(str(each.place), each.body["kind"], each.name) for each in documents.manifests] == [
        ("a.yaml:1", "ConfigMap", "a"), ("a.yaml:10", "Secret", "b"), ("b.yaml:4", "ConfigMap", "c"),
    ]  # fmt: skip


def test_all_that_is_wrong_is_noted_at_once_with_its_line() -> None:
    assert problems(
        f"kind: ConfigMap\nmetadata: {{name: 1}}\n---\n{MAP}data: {{x: 1}}\ndata: {{x: 2}}\n---\n- 1\n",
        "apiVersion: V1\nkind: X\nmetadata: {generateName: x-}\n---\na: [\n",
    ) == [
        "a.yaml:1: has no apiVersion",
        "a.yaml:1: metadata.name is not a text: 1",
        "a.yaml:8: the key data is repeated, first in line 7",
        "a.yaml:10: is not an object",
        "b.yaml:1: apiVersion 'V1' is no group and version",
        "b.yaml:1: metadata.generateName: each time it would be another object",
        "b.yaml:6: is not YAML: did not find expected node content",
    ]


def test_an_object_is_there_once_also_in_another_version_of_its_kind() -> None:
    scaler = "kind: HorizontalPodAutoscaler\nmetadata: {name: a, namespace: default}\n"
    assert problems(f"apiVersion: autoscaling/v1\n{scaler}", f"apiVersion: autoscaling/v2\n{scaler}") == [
        "b.yaml:1: HorizontalPodAutoscaler default/a is there already, at a.yaml:1"
    ]
    assert problems(MAP, MAP.replace("name: a", "name: a, namespace: default"))
    assert problems(MAP, MAP.replace("name: a", "name: a, namespace: other")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{MAP}data: {{x: .nan}}\n", "holds nan, which JSON has not"),
        (f"{MAP}data: {{x: !!binary aGk=}}\n", "holds a bytes, which JSON has not"),
        (f"{MAP}data: {{? [1] : 2}}\n", "found unhashable key"),
        (f"{MAP}data: {{~: 2}}\n", "has the key None, which is no text"),
        (f"{MAP}data: !mine x\n", "could not determine a constructor for the tag '!mine'"),
        ("\ta: 1\n", "found character that cannot start any token"),
        ("apiVersion: v1\nkind: List\n", "is a List without items"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: [x]}\n", "metadata.labels is not a mapping"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {applyset.kubernetes.io/part-of: x}}\n",
            "has the label applyset.kubernetes.io/part-of",
        ),
    ],
)
def test_what_cannot_be_applied(text: str, message: str) -> None:
    assert any(message in problem for problem in problems(text)), problems(text)


def test_aliases_that_grow_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert problems(MAP + "\n".join(lines)) == ["a.yaml:1: has more than 1000000 values, with its aliases written out"]


def test_nesting_without_end_is_refused() -> None:
    assert len(problems("[" * 100_000)) == 1

"""The help of a key, as `explain` prints it."""

from __future__ import annotations

import pytest

from bootstrap.errors import UsageError
from bootstrap.inventory.describe.explain import all_keys, explain


def test_a_key_is_told_with_what_it_holds_its_default_and_an_example() -> None:
    lines = explain("clone").splitlines()
    assert lines[:2] == ["clone", "  Clone type of VMs: linked where possible, or full."]
    assert "  default:  linked" in lines
    assert "  example:  clone: full" in lines


@pytest.mark.parametrize("key", ["workers", "pools.gpu", "control_plane", ""])
def test_a_section_lists_its_keys(key: str) -> None:
    assert any(line.startswith(("  count  ", "  cluster  ")) for line in map(" ".join, _rows(key)))


def _rows(key: str) -> list[tuple[str, str]]:
    rows = (line.strip().partition("  ") for line in explain(key).splitlines() if line.startswith("  "))
    return [(f"  {name} ", text) for name, _, text in rows]


@pytest.mark.parametrize("key", all_keys())
def test_every_key_can_be_explained(key: str) -> None:
    lines = explain(key).splitlines()
    assert lines[0] == key
    assert len(lines) > 1
    assert lines[1].strip()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("memory", "did you mean control_plane.memory or workers.memory"),
        ("network.dnss", "network.dns"),
        ("cluster.name", "cluster has no keys below it"),
        ("pools.gpu.cuont", "known: "),
    ],
)
def test_a_key_that_is_none_is_told_with_what_is_near(key: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        explain(key)
    assert f"the inventory has no key {key}" in refused.value.brief
    assert said in refused.value.resolution

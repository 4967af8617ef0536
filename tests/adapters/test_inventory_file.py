"""One value of an inventory file is changed in place: all else stays as it was, byte by byte."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bootstrap.adapters.local.inventory_file import Keys, Stated, change, stated
from bootstrap.errors import HomelabError

INVENTORY = """\
# yaml-language-server: $schema=homelab-k8s.schema.json
cluster: demo      # the name

k3s: {version: v1.33.3+k3s1,   disable: [traefik]}  # pinned
workers:
    count:   "3"   # three
    labels: {a: 'b'}
pools:
  gpu:
    # a remark
    count: 1
    taints: [
      "gpu=true:NoSchedule",
    ]
"""
VERSION: Keys = ("k3s", "version")
COUNT: Keys = ("workers", "count")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "homelab-k8s.yaml"
    path.write_text(INVENTORY)
    return path


@pytest.mark.parametrize(
    ("keys", "was", "value", "line"),
    [
        (VERSION, "v1.33.3+k3s1", "v1.34.1+k3s1", "k3s: {version: v1.34.1+k3s1,   disable: [traefik]}  # pinned"),
        (COUNT, "3", "10", '    count:   "10"   # three'),
        (("pools", "gpu", "count"), "1", "2", "    count: 2"),
    ],
)
def test_only_that_scalar_changes(file: Path, keys: Keys, was: str, value: str, line: str) -> None:
    found = stated(file, [("nothing",), keys])
    assert found == Stated(keys=keys, text=was)
    diff = change(file, found, value)
    before, after = INVENTORY.splitlines(), file.read_text().splitlines()
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [line]
    assert f"+{line}" in diff.splitlines()
    tree = YAML(typ="safe").load(file.read_text())
    for key in keys:
        tree = tree[key]
    assert str(tree) == value


@pytest.mark.parametrize("text", ["\ufeffworkers: 3\n", "cluster: demo\r\nworkers: 3 # c\r\n", "workers: 3"])
def test_marks_line_ends_and_the_short_form_stay(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    found = stated(file, [COUNT, ("workers",)])
    assert found == Stated(keys=("workers",), text="3")
    change(file, found, "5")
    assert file.read_bytes().decode() == text.replace("3", "5")


@pytest.mark.parametrize(
    "text",
    [
        "cluster: demo\n",
        "k3s:\n",
        "k3s: {version: [a]}\n",
        "k3s:\n  version: >-\n    v1\n",
        'k3s: {version: "\\x76"}\n',
    ],
)
def test_what_is_not_stated_or_stated_in_another_way_is_left_alone(file: Path, text: str) -> None:
    file.write_text(text)
    assert stated(file, [VERSION]) is None


def test_what_is_no_yaml_any_more_is_said(file: Path) -> None:
    file.write_text("k3s: {version: [\n")
    with pytest.raises(HomelabError, match="would no longer be YAML"):
        stated(file, [VERSION])


def test_mode_and_link_stay_and_nothing_is_left_over(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    target = real / "inventory.yaml"
    file.rename(target)
    file.symlink_to(target)
    target.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(target, 12345, 23456)
    owner = (target.stat().st_uid, target.stat().st_gid)
    change(file, Stated(keys=COUNT, text="3"), "4")
    assert file.is_symlink()
    assert 'count:   "4"' in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert (target.stat().st_uid, target.stat().st_gid) == owner
    assert list(real.iterdir()) == [target]


def test_a_file_that_is_read_only_stays_as_it_is(file: Path) -> None:
    file.chmod(0o444)
    with pytest.raises(HomelabError, match="cannot write the inventory"):
        change(file, Stated(keys=COUNT, text="3"), "4")
    assert file.read_text() == INVENTORY


def test_a_file_that_somebody_has_changed_meanwhile_stays_as_it_is(file: Path) -> None:
    file.write_text(INVENTORY.replace('"3"', '"7"'))
    with pytest.raises(HomelabError, match="was changed by another program and was not overwritten"):
        change(file, Stated(keys=COUNT, text="3"), "4")
    file.write_text("cluster: demo\n")
    with pytest.raises(HomelabError, match="was changed by another program and was not overwritten"):
        change(file, Stated(keys=COUNT, text="3"), "4")
    file.unlink()
    with pytest.raises(HomelabError, match="cannot"):
        change(file, Stated(keys=COUNT, text="3"), "4")

"""Files and folders with Kubernetes objects, and kustomizations by a kubectl."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bootstrap.adapters.local.manifests import LocalManifests
from bootstrap.ports import ManifestFiles

OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def read(path: Path, **environ: str) -> ManifestFiles:
    return LocalManifests(environ={"PATH": os.environ["PATH"], **environ}).read(path, shown="here")


def test_a_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(OBJECT)
    (file,) = read(tmp_path / "a.txt").files
    assert (file.shown, file.text) == ("here", OBJECT)


def test_the_yaml_files_of_a_folder_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "README.md", "c.json"):
        (tmp_path / name).write_text(name)
    (tmp_path / "d.yaml").mkdir()
    assert [file.shown for file in read(tmp_path).files] == ["here/a.yml", "here/b.yaml"]


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "does not exist"), (b"\xff", "is not UTF-8 text"), ("folder", "has neither")]
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: object, problem: str) -> None:
    path = tmp_path / "x"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    found = read(path)
    assert found.files == ()
    ((shown, message, _),) = found.problems
    assert shown == "here"
    assert message.startswith(problem)


def test_one_bad_file_of_a_folder_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    (tmp_path / "b.yaml").write_text(OBJECT)
    found = read(tmp_path)
    assert [file.shown for file in found.files] == ["here/b.yaml"]
    assert [shown for shown, _, _ in found.problems] == ["here/a.yaml"]


@pytest.fixture
def kustomization(tmp_path: Path) -> Path:
    folder = tmp_path / "overlay"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text("resources: [a.yaml]\nnamePrefix: home-\n")
    (folder / "a.yaml").write_text(OBJECT)
    return folder


def test_a_kustomization_is_rendered_by_the_real_kubectl(kustomization: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = read(kustomization, PATH=path)
    assert found.problems == ()
    assert "name: home-a" in found.files[0].text
    (kustomization / "a.yaml").unlink()
    ((_, message, _),) = read(kustomization, PATH=path).problems
    assert message.startswith("`kubectl kustomize` failed: accumulating resources")


def test_without_a_kubectl_a_kustomization_says_so(kustomization: Path) -> None:
    ((_, message, hint),) = read(kustomization, PATH="/nonexistent").problems
    assert message == "is a kustomization, and kubectl is not installed here"
    assert hint.startswith("install kubectl")

"""The wheel in an empty environment, without the lab and without development: on each Python that this machine has."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable

import pytest

from tests.packaging.conftest import Built, find_python, pins, uv
from tests.unit.test_lock import ROOT

MINORS = (11, 12, 13, 14)
Run = Callable[..., str]


@pytest.fixture(scope="module", params=MINORS, ids=lambda minor: f"3.{minor}")
def run(request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program of the environment, outside the checkout."""
    python = find_python(request.param)
    if python is None:
        pytest.skip(f"this machine has no Python 3.{request.param}")
    home = tmp_path_factory.mktemp("home")
    (home / "pins.txt").write_text(pins())
    place = str(home / "env/bin/python")
    uv("venv", "--python", python, str(home / "env"))
    uv("pip", "install", "--python", place, "--require-hashes", "--no-deps", "--requirement", str(home / "pins.txt"))
    uv("pip", "install", "--python", place, "--no-deps", "--offline", str(built.wheel))
    uv("pip", "check", "--python", place)

    def run(program: str, *args: str) -> str:
        environ = {"HOME": str(home), "PATH": os.environ["PATH"]}
        command = [str(home / "env/bin" / program), *args]
        done = subprocess.run(command, cwd=home, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_runs(run: Run) -> None:
    assert "up" in run("homelab-k8s", "--help")
    assert "--pveum" in run("homelab-k8s", "init", "--help")
    assert run("homelab-k8s", "schema") == (ROOT / "inventories/schema.json").read_text()


def test_all_of_it_but_the_lab_imports_without_extras(run: Run) -> None:
    scripts = ("lab", "data")  # of the lab, and of guests
    modules = sorted(
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
        for path in (ROOT / "bootstrap").rglob("*.py")
        if path.name != "__main__.py" and path.relative_to(ROOT).parts[1] not in scripts
    )
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(importlib.__file__)"
    assert run("python", "-I", "-c", code, *(name.removesuffix(".__init__") for name in modules))


def test_pyproject_names_the_pythons_that_are_tried_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {line.rpartition(" ")[2] for line in project["classifiers"] if line.startswith("Programming Language")}
    tried = {f"3.{minor}" for minor in MINORS if find_python(minor)}
    assert tried <= named, "what is tried here may be named"
    assert named - {"Only"} <= {f"3.{minor}" for minor in MINORS}
    assert f"3.{sys.version_info.minor}" in tried

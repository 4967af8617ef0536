"""What is published: all of the program and nothing else, the same from a checkout and from the sdist."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.packaging.conftest import Built, build
from tests.unit.test_lock import ROOT


def files(*folders: str) -> set[str]:
    """The files of the checkout, without what Python compiled."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def inside(built: Built) -> set[str]:
    with zipfile.ZipFile(built.wheel) as wheel:
        return set(wheel.namelist())


def test_the_wheel_has_the_program_its_data_and_nothing_else(inside: set[str]) -> None:
    program = {name for name in inside if ".dist-info/" not in name}
    manifests = {
        name.removeprefix("bootstrap/data/") for name in program if name.startswith("bootstrap/data/manifests/")
    }
    assert program - {f"bootstrap/data/{name}" for name in manifests} == files("bootstrap")
    assert manifests == files("manifests")
    assert {"bootstrap/py.typed", "bootstrap/data/guest/install-k3s.sh"} <= program


def test_the_sdist_builds_the_wheel_that_the_checkout_builds(built: Built, tmp_path: Path) -> None:
    assert build(tmp_path, "--wheel").wheel.read_bytes() == built.wheel.read_bytes()


def test_the_sdist_has_the_tests_and_no_leftovers(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert files("tests", "manifests") <= names
    assert {name.split("/")[0] for name in names} & {".venv", ".git", "dist", ".mypy_cache"} == set()


def test_twine_finds_no_fault(built: Built) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", str(built.wheel), str(built.sdist)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_metadata_names_the_licence_and_no_address_that_nobody_has(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
        metadata = message_from_bytes(wheel.read(name))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert (metadata.get_all("Project-URL") or []) == [f"{k}, {v}" for k, v in project.get("urls", {}).items()]

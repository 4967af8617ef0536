"""What is installed: releases without known holes, each file by its hash, and nothing that is not in the list."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.scripts import load_script

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "constraints.txt").read_text()
ENTRY = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n", re.M
)
PINS = {canonicalize_name(found["name"]): found["version"] for found in ENTRY.finditer(LOCK)}


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for, extras too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [Requirement(line) for line in lines]


@pytest.fixture(scope="module")
def lock_script() -> ModuleType:
    return load_script("lock")


def test_the_list_is_of_releases_with_hashes_and_of_nothing_else() -> None:
    rest = ENTRY.sub("", LOCK)
    assert [line for line in rest.splitlines() if not line.startswith("#")] == []
    assert "://" not in LOCK, "which index it is, is the user's pip's to say"


def test_releases_with_known_holes_are_below_the_floors() -> None:
    old = {
        "paramiko": "4.0.0", "urllib3": "2.6.3", "requests": "2.32.5", "cryptography": "49.0.0", "aiohttp": "3.14.3",
        "asyncssh": "2.22.0", "pynacl": "1.6.1", "idna": "3.6", "pyyaml": "5.3.1", "pytest": "9.0.2",
    }  # fmt: skip
    floors = {canonicalize_name(one.name): one.specifier for one in wanted()}
    assert [name for name, version in old.items() if floors[canonicalize_name(name)].contains(version)] == []


def test_the_list_has_all_that_is_wanted_at_releases_that_are_wanted() -> None:
    assert [
        str(one) for one in wanted() if not one.specifier.contains(PINS.get(canonicalize_name(one.name), "0"))
    ] == []


def test_the_list_has_what_the_wanted_want_in_turn() -> None:
    """It is installed without looking for dependencies: what is not in it would be missing, or come without a hash."""
    open_, seen = [(one.name, tuple(one.extras)) for one in wanted()], set()
    missing = []
    while open_:
        name, extras = open_.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            lines = []
        for needed in map(Requirement, lines):
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                open_.append((needed.name, tuple(needed.extras)))
                if not needed.specifier.contains(PINS.get(canonicalize_name(needed.name), "0")):
                    missing.append(f"{name} wants {needed}")
    assert missing == []
    assert len(seen) > len(wanted())


def test_setup_takes_nothing_from_the_index_without_its_hash() -> None:
    lines = [line for line in (ROOT / ".ci" / "setup").read_text().splitlines() if "pip install" in line]
    assert lines
    assert [line for line in lines if "--require-hashes" not in line and "--no-index" not in line] == []


@pytest.mark.parametrize(
    ("file", "kept"),
    [
        ("cryptography-50.0.2-cp311-abi3-manylinux_2_34_aarch64.whl", True),
        ("cryptography-50.0.2-cp311-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", True),
        ("cryptography-50.0.2-cp39-abi3-macosx_10_9_universal2.whl", True),
        ("cryptography-50.0.2-cp314-cp314-musllinux_1_2_x86_64.whl", True),
        ("cryptography-50.0.2-py3-none-any.whl", True),
        ("cryptography-50.0.2.tar.gz", True),
        ("cryptography-50.0.2-cp310-cp310-manylinux_2_34_x86_64.whl", False),
        ("cryptography-50.0.2-cp311-abi3-win_amd64.whl", False),
        ("cryptography-50.0.2-pp311-pypy311_pp73-manylinux_2_34_x86_64.whl", False),
        ("cryptography-50.0.1-py3-none-any.whl", False),
        ("cryptography-50.0.2.exe", False),
    ],
)
def test_hashes_are_of_files_for_any_machine_that_we_run_on(lock_script: ModuleType, file: str, kept: bool) -> None:
    assert lock_script.fits(file, "50.0.2") is kept


def test_an_index_that_knows_html_alone_is_read_too(lock_script: ModuleType) -> None:
    links = lock_script.Links()
    links.feed(f'<a href="../x/a-1.0.tar.gz#sha256={"ab" * 32}">a</a><a href="/b-1.0.tar.gz">b</a><a>c</a>')
    assert links.found == {"a-1.0.tar.gz": "ab" * 32}

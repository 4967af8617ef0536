"""The releases of constraints.txt need no compiler on other systems: resolved as if there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.packaging.conftest import uv
from tests.unit.test_lock import PINS, ROOT

BUILT = {"x86_64-apple-darwin": ("--no-binary", "cryptography")}
"""cryptography 48 was the last with wheels for Intel Macs (README)."""


@pytest.mark.parametrize("minor", [11, 14])
@pytest.mark.parametrize("platform", ["aarch64-apple-darwin", "x86_64-apple-darwin", "windows"])
def test_wheels_exist(platform: str, minor: int, tmp_path: Path) -> None:
    (tmp_path / "versions.txt").write_text("".join(f"{name}=={version}\n" for name, version in PINS.items()))
    options = ("--no-header", "--no-annotate", "--python-platform", platform, "--python-version", f"3.{minor}")
    only = ("--only-binary", ":all:", *BUILT.get(platform, ()), "--constraint", str(tmp_path / "versions.txt"))
    told = uv(
        "pip", "compile", *options, *only, "--extra", "keyring", "--extra", "notify", str(ROOT / "pyproject.toml")
    )
    found = re.findall(r"^[\w.-]+==", told, re.MULTILINE)
    assert {"kubernetes==", "paramiko==", "keyring=="} <= set(found)

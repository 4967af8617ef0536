"""A lab of the tests' own: state directory, key pair, and a skip with the reason where guests cannot run."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from bootstrap.lab.guests.choose import why_not
from tests.lab.guests.machines import bridge_alone


@pytest.fixture(autouse=True)
def _able(request: pytest.FixtureRequest) -> Iterator[None]:
    kinds = [kind for kind in ("container", "qemu") if request.node.get_closest_marker(kind)]
    for reason in filter(None, map(why_not, kinds)):
        pytest.skip(reason)
    with bridge_alone() if kinds else nullcontext():
        yield


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A short path: sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="hk-lab-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def public_key(key: Path) -> str:
    return key.with_suffix(".pub").read_text(encoding="ascii").strip()

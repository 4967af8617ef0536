"""The wheel and the sdist as they would be published, and what they are installed with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.test_lock import ENTRY, LOCK, ROOT

UV = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "uv"


@dataclass(frozen=True)
class Built:
    """What `python -m build` makes: the sdist, and the wheel from that sdist."""

    sdist: Path
    wheel: Path


def build(out: Path, *options: str) -> Built:
    """Build with what is installed; nothing is fetched."""
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Built(sdist=next(out.glob("*.tar.gz"), out), wheel=next(out.glob("*.whl")))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("dist"))


def uv(*args: str) -> str:
    """What uv prints; it asks pip's index, and takes no Python from the internet."""
    pip = [sys.executable, "-m", "pip", "config", "get"]
    index = subprocess.run([*pip, "global.index-url"], capture_output=True, text=True, check=False).stdout.strip()
    environ = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **({"UV_DEFAULT_INDEX": index} if index else {})}
    environ.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        [UV, "--no-config", "--quiet", *args], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pins() -> str:
    """The entries of constraints.txt, hashes included, that the program is made of: without development and the lab."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted, seen = [(line.name, tuple(line.extras)) for line in map(Requirement, project["dependencies"])], set[str]()
    while wanted:
        name, chosen = wanted.pop()
        seen.add(canonicalize_name(name))
        try:
            lines = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:  # of another system or Python
            continue
        for line in lines:
            holds = line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in ("", *chosen))
            if holds and canonicalize_name(line.name) not in seen:
                wanted.append((line.name, tuple(line.extras)))
    return "".join(entry[0] for entry in ENTRY.finditer(LOCK) if canonicalize_name(entry["name"]) in seen)


def find_python(minor: int) -> str | None:
    """A Python 3.`minor` of this machine: on PATH, or of pyenv; it may be a shim that runs nothing."""
    found = [shutil.which(f"python3.{minor}")]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
        found += [str(path) for path in Path(root, "versions").glob(f"3.{minor}.*/bin/python3.{minor}")]
    for python in filter(None, found):
        code = "import sys; print(sys.version_info.minor)"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == str(minor):
            return python
    return None

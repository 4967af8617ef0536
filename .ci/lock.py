#!/usr/bin/env python3
"""Writes constraints.txt: what development and the lab are made of, each with the hashes that the index gives.

    .ci/lock.py           the newest releases that pyproject.toml allows
    .ci/lock.py --keep    the releases of now, their hashes anew; what is new in pyproject.toml is added

Wheels for CPython 3.11 and newer on Linux and macOS (x86-64, arm64), pure ones, and sources. The index is pip's, with
pip's certificates; no address goes into the file.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import requests
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "constraints.txt"
# The last is what hatchling wants for an editable installation.
BUILD = ("hatchling", "editables")
OLDEST = (3, 11)
MACHINES = ("any", "x86_64", "aarch64", "arm64", "universal2")
HEADER = """\
# Written by .ci/lock.py; .ci/setup installs it with --require-hashes.
"""
FORMS = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
Pins = dict[str, str]


class Links(HTMLParser):
    """Files with their sha256 on a page of an index that knows HTML alone (PEP 503)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a link that tells a hash."""
        url = urlsplit(dict(attrs).get("href") or "")
        if tag == "a" and url.fragment.startswith("sha256="):
            self.found[unquote(url.path.rsplit("/", 1)[-1])] = url.fragment.removeprefix("sha256=")


def pip(python: Path | str, *args: str) -> str:
    """What pip prints. Its errors go to the terminal."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *args]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def pip_setting(python: Path | str, name: str) -> str:
    """A setting from pip's configuration files or environment; empty where there is none."""
    lines = pip(python, "config", "list").splitlines()
    found = [line.partition("=")[2].strip("'\"") for line in lines if re.match(rf"[\w.:]*\.{name}=", line)]
    return found[-1] if found else ""


def pinned() -> Pins:
    """The releases of now."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCK.read_text(), re.MULTILINE))


def resolved(directory: Path, keep: Pins) -> tuple[Path, Pins]:
    """A fresh environment's Python, and the releases that pip chooses in it, by name."""
    subprocess.run([sys.executable, "-m", "venv", str(directory / "venv")], check=True)
    python = directory / "venv" / "bin" / "python"
    versions = directory / "versions.txt"
    versions.write_text("".join(f"{name}=={version}\n" for name, version in keep.items()))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pip(python, "install", "--quiet", "--constraint", str(versions), f"{ROOT}[{','.join(extras)}]", *BUILD)
    lines = pip(python, "freeze", "--exclude", "homelab-k8s").splitlines()
    return python, dict(sorted((line.split("==", 1) for line in lines), key=lambda pin: canonicalize_name(pin[0])))


def files_of(name: str, index: str, session: requests.Session) -> dict[str, str]:
    """All files of a project, each with its sha256."""
    url = urljoin(index.rstrip("/") + "/", f"{canonicalize_name(name)}/")
    answer = session.get(url, headers={"Accept": FORMS}, timeout=120)
    answer.raise_for_status()
    if "json" in answer.headers.get("Content-Type", ""):
        files = json.loads(answer.text)["files"]
        return {file["filename"]: file["hashes"]["sha256"] for file in files if "sha256" in file["hashes"]}
    links = Links()
    links.feed(answer.text)
    return links.found


def fits(filename: str, version: str) -> bool:
    """Whether a file is of a release and of use to anybody who has a Python that we run on."""
    try:
        if not filename.endswith(".whl"):
            return str(parse_sdist_filename(filename)[1]) == version
        _, found, _, tags = parse_wheel_filename(filename)
    except (InvalidSdistFilename, InvalidWheelFilename):
        return False
    return str(found) == version and any(
        _interpreter_fits(tag.interpreter, tag.abi)
        and tag.platform.endswith(MACHINES)
        and (tag.platform == "any" or tag.platform.startswith(("manylinux", "musllinux", "linux", "macosx")))
        for tag in tags
    )


def _interpreter_fits(interpreter: str, abi: str) -> bool:
    number = re.fullmatch(r"cp3(\d+)", interpreter)
    if number is None:
        return interpreter == "py3"
    return abi == "abi3" or ((3, int(number[1])) >= OLDEST and not abi.endswith("t"))


def main() -> None:
    """Write the file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--keep", action="store_true", help="keep the releases of now")
    keep = pinned() if options.parse_args().keep else {}
    with tempfile.TemporaryDirectory() as directory:
        python, pins = resolved(Path(directory), keep)
        index = pip_setting(python, "index-url") or pip_default_index(python)
        session = requests.Session()
        session.verify = pip_setting(python, "cert") or True

        def entry(pin: tuple[str, str]) -> str:
            name, version = pin
            hashes = sorted(sha for file, sha in files_of(name, index, session).items() if fits(file, version))
            if not hashes:
                raise SystemExit(f"the index gives no sha256 for any file of {name} {version}")
            return " \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{sha}" for sha in hashes)]) + "\n"

        with ThreadPoolExecutor(8) as threads:
            LOCK.write_text(HEADER + "".join(threads.map(entry, pins.items())))
    sys.stderr.write(f"{LOCK.name}: {len(pins)} packages\n")


def pip_default_index(python: Path | str) -> str:
    """The index that pip asks where nothing else is said."""
    code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return subprocess.run([str(python), "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    main()

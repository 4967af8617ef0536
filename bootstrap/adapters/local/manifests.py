"""`bootstrap.ports.ManifestReader`: files and folders, and kustomizations by `kubectl kustomize`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from bootstrap.inventory.regular import read_regular
from bootstrap.ports.manifests import ManifestFile, ManifestFiles

KUSTOMIZATIONS: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""What kustomize takes a folder for one by (sigs.k8s.io/kustomize api/konfig/general.go)."""
_SUFFIXES: Final = (".yaml", ".yml")
_MOST_BYTES: Final = 32 << 20
_MOST_FILES: Final = 1000
_TIMEOUT_S: Final = 120.0
"""A kustomization may fetch bases from the network."""
_MOST_SAID: Final = 1000
_LOGGED: Final = re.compile(r'^E[0-9]{4} .* err="(.*)"$', re.MULTILINE)
"""How kubectl 1.37 ends (k8s.io/component-base cli/run.go)."""


class _CannotReadError(Exception):
    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class LocalManifests:
    """Reads files of this computer.

    Args:
        environ: For `$PATH`, and for kubectl.
    """

    def __init__(self, *, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)

    def read(self, path: Path, *, shown: str) -> ManifestFiles:
        """See the port."""
        try:
            if not path.is_dir():
                return _read_all([(path, shown)])
            if any((path / name).exists() for name in KUSTOMIZATIONS):
                return ManifestFiles(files=(ManifestFile(shown=shown, text=self._kustomize(path)),))
            return _read_all(_folder(path, shown))
        except _CannotReadError as error:
            return ManifestFiles(problems=((shown, error.message, error.hint),))

    def _kustomize(self, path: Path) -> str:
        program = shutil.which("kubectl", path=self._environ.get("PATH"))
        if program is None:
            raise _CannotReadError(
                "is a kustomization, and kubectl is not installed here",
                "install kubectl (kubernetes.io/docs/tasks/tools), or list the rendered files",
            )
        try:
            ended = subprocess.run(
                [program, "kustomize", str(path)],
                env=self._environ,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _CannotReadError(f"`kubectl kustomize` cannot be run: {error}") from error
        if ended.returncode != 0:
            said = _words(ended.stderr.decode(errors="replace"))
            raise _CannotReadError(f"`kubectl kustomize` failed: {said or f'exit code {ended.returncode}'}")
        return ended.stdout.decode(errors="replace")


def _words(said: str) -> str:
    """The reason of kubectl, without the head of its log line."""
    said = said.strip().removeprefix("error: ")
    logged = _LOGGED.search(said)
    return (logged[1].replace('\\"', '"') if logged is not None else said)[:_MOST_SAID]


def _folder(path: Path, shown: str) -> list[tuple[Path, str]]:
    try:
        names = sorted(each.name for each in path.iterdir() if each.suffix in _SUFFIXES and not each.is_dir())
    except OSError as error:
        raise _CannotReadError(f"cannot be read: {error.strerror}") from error
    if not names:
        raise _CannotReadError("has neither a *.yaml nor a *.yml file", "name the folder with the files themselves")
    if len(names) > _MOST_FILES:
        raise _CannotReadError(f"has {len(names)} files", f"at most {_MOST_FILES} are read")
    return [(path / name, os.path.join(shown, name)) for name in names]  # noqa: PTH118 - `./x` stays as it was written


def _read_all(paths: Iterable[tuple[Path, str]]) -> ManifestFiles:
    files: list[ManifestFile] = []
    problems: list[tuple[str, str, str]] = []
    for path, shown in paths:
        try:
            files.append(ManifestFile(shown=shown, text=_read(path)))
        except _CannotReadError as error:
            problems.append((shown, error.message, error.hint))
    return ManifestFiles(files=tuple(files), problems=tuple(problems))


def _read(path: Path) -> str:
    try:
        data = read_regular(path, most_bytes=_MOST_BYTES)
    except FileNotFoundError as error:
        raise _CannotReadError("does not exist") from error
    except OSError as error:
        raise _CannotReadError(f"cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _CannotReadError("is not UTF-8 text", "save it as UTF-8") from error

"""The stand-in's program: found in the uploaded file, compiled once, loaded once per server."""

from __future__ import annotations

import importlib
import itertools
import sys
import zipfile
from collections.abc import Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from bootstrap.lab.simulated.disk import sha256_of

ONLY_STANDIN = (
    "simulated guests run only the k3s stand-in (bootstrap/lab/standin_release.py makes a release of it); "
    "this is another k3s: start the lab with container or QEMU guests for it"
)
PACKAGE = "standin"
"""The package inside the stand-in's archive."""
EMBEDDED = "embedded"
"""Its module for programs like this one."""
_MARK = (f"{PACKAGE}/versions.py", b'WHAT_THIS_IS = "k3s stand-in (tests double)"')
_numbers = itertools.count(1)


class NotStandInError(Exception):
    """The k3s of a guest is not the stand-in."""


class Program:
    """One build of the stand-in: compiled once, loaded as often as needed."""

    def __init__(self, path: Path) -> None:
        self._code = {
            file: compile(source, f"k3s/{file}", "exec", dont_inherit=True) for file, source in _sources(path).items()
        }
        self.shared = self.load()
        """The module that all agents use."""

    @property
    def version(self) -> str:
        """What `k3s --version` says, such as v1.33.3+k3s1."""
        return str(self.shared.VERSION)

    def load(self) -> ModuleType:
        """Load a new copy of the package: each server keeps its state in its own copy."""
        package = f"homelab_k8s_lab_k3s_{next(_numbers)}"
        finder = _Finder(package, self._code)
        sys.meta_path.append(finder)
        try:
            return importlib.import_module(f"{package}.{EMBEDDED}")
        finally:
            sys.meta_path.remove(finder)
            for name in [name for name in sys.modules if name.partition(".")[0] == package]:
                del sys.modules[name]


def _sources(path: Path) -> dict[str, bytes]:
    """The files of the stand-in's package, by their paths in it.

    Raises:
        NotStandInError: The file is no such archive.
    """
    prefix = f"{PACKAGE}/"
    try:
        with zipfile.ZipFile(path) as archive:
            if _MARK[1] not in archive.read(_MARK[0]):
                raise NotStandInError(ONLY_STANDIN)
            files = [name for name in archive.namelist() if name.startswith(prefix) and name.endswith(".py")]
            return {name.removeprefix(prefix): archive.read(name) for name in files}
    except (zipfile.BadZipFile, KeyError) as error:
        raise NotStandInError(ONLY_STANDIN) from error


class _Finder(MetaPathFinder, Loader):
    """Finds the modules of one copy of the package among the compiled code."""

    def __init__(self, package: str, code: Mapping[str, CodeType]) -> None:
        self._package, self._code = package, code

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        """The module's spec, if it is one of this copy's."""
        if fullname.partition(".")[0] != self._package or (file := self._file_of(fullname)) not in self._code:
            return None
        return ModuleSpec(fullname, self, is_package=file.endswith("__init__.py"))

    def exec_module(self, module: ModuleType) -> None:
        """Run its code, which is the stand-in's: its archive has the mark."""
        exec(self._code[self._file_of(module.__name__)], module.__dict__)  # noqa: S102

    def _file_of(self, fullname: str) -> str:
        """The file of a module or package; a module's path if neither exists."""
        parts = fullname.split(".")[1:]
        package = "/".join([*parts, "__init__.py"])
        return package if package in self._code else "/".join(parts) + ".py"


class Programs:
    """All known builds, by checksum."""

    def __init__(self) -> None:
        self._known: dict[str, Program] = {}

    def at(self, path: Path) -> Program:
        """The program of a file.

        Raises:
            NotStandInError: The file is not the stand-in.
        """
        found = sha256_of(path)
        if found not in self._known:
            self._known[found] = Program(path)
        return self._known[found]

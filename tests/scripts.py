"""The project's own scripts, as modules that tests can look into."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

_SCRIPTS = Path(__file__).parents[1] / ".ci"


def load_script(name: str) -> ModuleType:
    """The module of `.ci/NAME.py`, run as it is when it is imported."""
    spec = importlib.util.spec_from_file_location(name, _SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

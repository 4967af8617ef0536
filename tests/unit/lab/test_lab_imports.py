"""The lab's rooms import in one direction, and nothing of the lab needs the tests' directory."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[3]
LAB = ROOT / "bootstrap" / "lab"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, known: set[str]) -> set[str]:
    """The lab's modules that one imports, wherever in it, for types too."""
    package = ".".join(path.parent.relative_to(ROOT).parts)
    found = set()
    for each in ast.walk(ast.parse(path.read_text())):
        if isinstance(each, ast.Import):
            found |= {alias.name for alias in each.names}
        elif isinstance(each, ast.ImportFrom):
            above = package.rsplit(".", each.level - 1)[0] if each.level else ""
            base = ".".join(filter(None, (above, each.module or "")))
            found |= {base} | {f"{base}.{alias.name}" for alias in each.names}
    return {name for name in found if name in known and name != package}


def test_simulated_guests_and_the_stand_in_have_no_circle_of_imports() -> None:
    paths = {module_of(path): path for room in ("simulated", "standin") for path in (LAB / room).rglob("*.py")}
    graph = {name: imports_of(path, set(paths)) - {name} for name, path in paths.items()}
    assert sum(map(len, graph.values())) > 100
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_lab_runs_no_file_of_the_tests() -> None:
    named = []
    for path in LAB.rglob("*.py"):
        tree = ast.parse(path.read_text())
        documentation = {
            id(each.value)
            for each in ast.walk(tree)
            if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
        }
        for each in ast.walk(tree):
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in documentation:
                named += [f"{module_of(path)}: {each.value}"] if "tests/" in each.value else []
            if isinstance(each, ast.ImportFrom) and (each.module or "").partition(".")[0] == "tests":
                named.append(f"{module_of(path)}: {each.module}")
    assert named == []

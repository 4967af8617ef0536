"""Reads the add-ons that come with this program: `manifests/` of the checkout, `data/manifests/` in a wheel."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import yaml

import bootstrap
from bootstrap.addons.format import Addon, Chart, Needs, ValueKey
from bootstrap.model.machine import K3sSettings
from bootstrap.model.settings.system import SystemSpec

VERSIONS: Final = "versions.yaml"
_ADDON: Final = "addon.yaml"
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where there is one: ten times as fast, and these files are our own."""
_KEYS: Final = frozenset({"name", "summary", "early", "birth", "excludes", "needs", "values"})
_NEEDS: Final = frozenset({"packages", "kernel_modules", "disable", "disable_components", "agent_config"})
_VALUE: Final = frozenset({"form", "doc", "default", "required", "example"})


def addon_names() -> tuple[str, ...]:
    """All add-ons' names, sorted."""
    return tuple(sorted(library()))


def get_addon(name: str) -> Addon | None:
    """An add-on, or None where there is none of that name."""
    return library().get(name)


@cache
def library() -> Mapping[str, Addon]:
    """All add-ons by name."""
    return read_library(_folder())


def read_library(folder: Traversable) -> Mapping[str, Addon]:
    """All add-ons of a folder by name.

    Raises:
        ValueError: A file is not of the format; these files are part of the program.
    """
    charts = _charts(folder / VERSIONS)
    found = {each.name: each for each in folder.iterdir() if each.is_dir() and (each / _ADDON).is_file()}
    return {name: _addon(found[name], charts) for name in sorted(found)}


def _folder() -> Traversable:
    packaged = importlib.resources.files("bootstrap") / "data" / "manifests"
    return packaged if packaged.is_dir() else Path(bootstrap.__file__).resolve().parents[1] / "manifests"


def _charts(table: Traversable) -> dict[str, Chart]:
    return {name: Chart(**row) for name, row in _yaml(table)["charts"].items()}


def _addon(folder: Traversable, charts: Mapping[str, Chart]) -> Addon:
    said = _yaml(folder / _ADDON)
    _only(said, _KEYS, f"{folder.name}/{_ADDON}")
    if said["name"] != folder.name:
        raise ValueError(f"{folder.name}/{_ADDON} calls itself {said['name']}")
    return Addon(
        name=said["name"],
        summary=said["summary"],
        early=said.get("early", False),
        birth=" ".join(said.get("birth", "").split()),
        excludes=tuple(said.get("excludes", ())),
        needs=_needs(said.get("needs", {}), folder.name),
        values=tuple(_value(name, each, folder.name) for name, each in said.get("values", {}).items()),
        templates=tuple(_templates(folder)),
        charts=charts,
    )


def _needs(said: Mapping[str, Any], addon: str) -> Needs:
    _only(said, _NEEDS | {"server_config"}, f"{addon}: needs")
    return Needs(
        system=SystemSpec(
            packages=tuple(said.get("packages", ())), kernel_modules=tuple(said.get("kernel_modules", ()))
        ),
        disable=tuple(said.get("disable", ())),
        disable_components=tuple(said.get("disable_components", ())),
        agent_config=_settings(said.get("agent_config", {})),
        server_config=_settings(said.get("server_config", {})),
    )


def _settings(said: Mapping[str, Any]) -> K3sSettings:
    return tuple((key, tuple(value) if isinstance(value, list) else (str(value),)) for key, value in said.items())


def _value(name: str, said: Mapping[str, Any], addon: str) -> ValueKey:
    _only(said, _VALUE, f"{addon}: values.{name}")
    return ValueKey(name=name, **said)


def _templates(folder: Traversable) -> Iterator[Mapping[str, Any]]:
    """The objects of all other YAML files, in the order of the files' names."""
    files = sorted(folder.iterdir(), key=lambda each: each.name)
    for file in files:
        if file.name.endswith(".yaml") and file.name != _ADDON:
            yield from (each for each in yaml.load_all(file.read_text(encoding="utf-8"), _LOADER) if each)


def _yaml(file: Traversable) -> Any:  # noqa: ANN401 - our own files, whatever they say
    return yaml.load(file.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - safe, both


def _only(said: Iterable[str], known: frozenset[str], where: str) -> None:
    unknown = sorted(set(said) - known)
    if unknown:
        raise ValueError(f"{where} has unknown keys: {', '.join(unknown)}")

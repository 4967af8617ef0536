"""The inventory's `manifests:` list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bootstrap.addons import Facts, Finding, get_addon, needs_of, problems_of, render, secret_keys, with_needs
from bootstrap.addons.charts import merged
from bootstrap.addons.format import HELM
from bootstrap.addons.gitops.objects import chart_settings, gitops_sources
from bootstrap.addons.templating import dump_all
from bootstrap.inventory.files import Places
from bootstrap.inventory.problems import Where
from bootstrap.inventory.secret_sources import read_secret_line
from bootstrap.inventory.values.addon_values import AddonName, AddonValues
from bootstrap.inventory.values.containers import ListOf
from bootstrap.inventory.values.scalars import Text
from bootstrap.inventory.values.section import Key, Section, Short
from bootstrap.manifests.values import ManifestObjects, ManifestPath, ManifestSource
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.settings.early import EarlyManifest
from bootstrap.model.settings.secrets import StoredSecret

_PATH: Final = Text(label="a path of a file or a folder", pattern=r"[^\n]+", parse=Path)


class ManifestKeys(Section, exclusive=("path", "addon"), needs_one=True):
    """Kubernetes objects: files, or a named add-on."""

    path = Key(
        kind=_PATH,
        example="manifests/",
        doc="A file, a folder with *.yaml and *.yml files, or one with a kustomization.yaml (needs kubectl).",
    )
    addon = Key(
        kind=AddonName(),
        example="cert-manager",
        doc="One of our add-ons; `manifests/NAME/README.md` describes each.",
    )
    values = Key(
        kind=AddonValues(),
        default_doc="the add-on's own",
        example={"home_ca": False},
        doc="What the add-on takes; `helm` has settings in its chart's own keys.",
    )

    @property
    def given_values(self) -> Mapping[str, Any]:
        """The add-on's values; none where they are absent."""
        return self.values.values if self.values is not None else {}

    def place(self, path: str) -> Where:
        """The place of a finding about the add-on: `addon`, or `values.KEY...`."""
        if self.values is None or not path.startswith("values."):
            return self.at(ManifestKeys.addon)
        key = path.removeprefix("values.").partition("[")[0]
        return Where(path=f"{self.where.path}.{path}", line=self.values.lines.get(key, self.where.line))

    def secrets(self, places: Places) -> dict[str, str]:
        """The add-on's secrets, by key. Raises RefusedError, which never repeats any part of one."""
        return {
            key: read_addon_secret(source, places) for key, source in secret_keys(self.addon or "", self.given_values)
        }

    def source(self, places: Places, facts: Facts, settings: Mapping[str, Any]) -> ManifestSource:
        """What it names; an add-on's chart has these settings below the user's own."""
        if self.addon is not None:
            secrets = self.secrets(places)
            values = {**self.given_values, HELM: merged(settings, self.given_values.get(HELM, {}))}
            objects = render(self.addon, values, facts, secrets=secrets)
            known = get_addon(self.addon)
            return ManifestObjects(
                shown=f"addon {self.addon}",
                objects=tuple(objects),
                secrets=tuple(secrets.values()),
                early=known is not None and known.early,
                birth=known.birth if known is not None else "",
            )
        path = self.sure(ManifestKeys.path)
        return ManifestPath(path=places.resolve(path), shown=str(path))


MANIFESTS: Final = ListOf(
    item=Short(section=ManifestKeys, keys=(("str", ManifestKeys.path),)),
    same=lambda entry: entry.path or entry.addon or entry.where.path,
    what="path or add-on",
)


def addons_of(entries: Iterable[ManifestKeys]) -> tuple[ManifestKeys, ...]:
    """The entries that are add-ons, where nothing is wrong with their values as YAML."""
    return tuple(
        entry
        for entry in entries
        if entry.addon is not None and (entry.values is not None or not entry.given(ManifestKeys.values))
    )


def with_addon(entries: tuple[ManifestKeys, ...], name: str, where: Where) -> tuple[ManifestKeys, ...]:
    """The entries with an add-on that another key needs; the user's own entry of it counts."""
    if any(entry.addon == name for entry in entries):
        return entries
    implied = ManifestKeys(where)
    implied.found, implied.places = {ManifestKeys.addon.name: str(name)}, {ManifestKeys.addon.name: where}
    return (*entries, implied)


def addon_findings(entries: Iterable[ManifestKeys], facts: Facts | None) -> Iterator[tuple[Where, Finding]]:
    """All that is wrong with add-ons, each with its place; without facts only what their values say by themselves."""
    addons = addons_of(entries)
    for entry in addons:
        beside = [other.addon for other in addons if other is not entry and other.addon is not None]
        for found in problems_of(entry.addon or "", entry.given_values, facts, beside=beside):
            yield entry.place(found.path), found


def read_addon_secret(source: Mapping[str, Any], places: Places) -> str:
    """A secret from where it is stored. Raises RefusedError, which never repeats any part of it."""
    file, command = source.get("file"), source.get("command")
    return read_secret_line(
        places,
        StoredSecret(
            env=source.get("env"),
            file=Path(file) if file is not None else None,
            keyring=source.get("keyring"),
            command=tuple(command) if command is not None else None,
        ),
    )


def with_manifests(spec: ClusterSpec, entries: Sequence[ManifestKeys], facts: Facts, places: Places) -> ClusterSpec:
    """The cluster with what is applied to it, and with what add-ons need. An empty list prunes all that was applied."""
    names = tuple(entry.addon for entry in entries if entry.addon is not None)
    gitops = spec.gitops
    settings = {str(gitops.controller): chart_settings(gitops)} if gitops is not None else {}
    sources = tuple(entry.source(places, facts, settings.get(entry.addon or "", {})) for entry in entries)
    if gitops is not None:
        sources = (*sources, *gitops_sources(gitops))
    early = tuple(_early(source) for source in sources if isinstance(source, ManifestObjects) and source.early)
    return replace(
        with_needs(spec, needs_of(names)),
        manifests=sources,
        addons=names,
        early_manifests=(*spec.early_manifests, *early),
    )


def _early(source: ManifestObjects) -> EarlyManifest:
    """The file for k3s's first start; its name says what it is of, so that two add-ons have two files."""
    return EarlyManifest(name=source.shown.replace(" ", "-"), text=dump_all(source.objects))

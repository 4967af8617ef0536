"""The inventory's `manifests:` list."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bootstrap.inventory.files import Places
from bootstrap.inventory.values.containers import ListOf
from bootstrap.inventory.values.scalars import Text
from bootstrap.inventory.values.section import Key, Section, Short
from bootstrap.manifests.values import ManifestPath, ManifestSource

_PATH: Final = Text(label="a path of a file or a folder", pattern=r"[^\n]+", parse=Path)


class ManifestKeys(Section):
    """Kubernetes objects."""

    path = Key(
        kind=_PATH,
        example="manifests/",
        doc="A file, a folder with *.yaml and *.yml files, or one with a kustomization.yaml (needs kubectl).",
        required=("has no path", "such as path: manifests/"),
    )

    def source(self, places: Places) -> ManifestSource:
        """What it names."""
        path = self.sure(ManifestKeys.path)
        return ManifestPath(path=places.resolve(path), shown=str(path))


MANIFESTS: Final = ListOf(
    item=Short(section=ManifestKeys, keys=(("str", ManifestKeys.path),)),
    same=lambda entry: entry.path,
    what="path",
)

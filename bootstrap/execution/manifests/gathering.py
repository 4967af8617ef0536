"""Reads the inventory's manifests, with all problems at once."""

from __future__ import annotations

from collections.abc import Sequence

from bootstrap.errors import Problem
from bootstrap.manifests.documents import Documents
from bootstrap.manifests.errors import ManifestsError
from bootstrap.manifests.values import Manifest, ManifestObjects, ManifestSource
from bootstrap.ports.manifests import ManifestReader


def gather(sources: Sequence[ManifestSource], reader: ManifestReader) -> tuple[Manifest, ...]:
    """All objects of the list, in its order.

    Raises:
        ManifestsError: With all that is wrong in all files.
    """
    documents = Documents()
    for source in sources:
        if isinstance(source, ManifestObjects):
            documents.add(source)
            continue
        found = reader.read(source.path, shown=source.shown)
        for shown, message, hint in found.problems:
            documents.problems.append(Problem(path=shown, line=None, message=message, hint=hint))
        for file in found.files:
            documents.read(file.shown, file.text)
    documents.check_together()
    if documents.problems:
        raise ManifestsError(documents.problems)
    return tuple(documents.manifests)

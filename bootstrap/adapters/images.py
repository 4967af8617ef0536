"""Cloud images by name or URL: the catalogue, and their publishers' checksums."""

from __future__ import annotations

import importlib.resources
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bootstrap.adapters.artifacts.download import MOST_LIST_BYTES, Downloader
from bootstrap.errors import ArtifactError, PreflightError
from bootstrap.records.vms.template import CloudImage, image_name

_CHECKSUM = re.compile(r"(sha256|sha512):([0-9a-f]{64}|[0-9a-f]{128})")
_LENGTHS = {"sha256": 64, "sha512": 128}


def catalogue() -> Mapping[str, Mapping[str, str]]:
    """The images with a name; see `data/images.yaml`."""
    import yaml

    text = (importlib.resources.files("bootstrap") / "data" / "images.yaml").read_text(encoding="utf-8")
    known: dict[str, Any] = yaml.safe_load(text)
    return known


def find_image(text: str, *, arch: str, checksum: str, downloader: Downloader | None = None) -> CloudImage:
    """See `TemplateMaker.find_image`."""
    algorithm, digest = _checksum(checksum)
    if text.startswith(("https://", "http://")):
        return CloudImage(name=image_name(text), url=text, checksum=digest, algorithm=algorithm)
    known = catalogue()
    if text not in known:
        raise PreflightError(
            f"there is no image {text!r} in the catalogue",
            details=f"known: {', '.join(known)}",
            resolution="use one of those, an https:// URL, or an existing volume (local:import/x.qcow2)",
        )
    entry = known[text]
    url = entry["url"].format(arch=arch)
    if not digest:
        algorithm = entry["algorithm"]
        digest = _published(entry["sums"], url.rsplit("/", 1)[-1], algorithm, downloader or Downloader())
    return CloudImage(name=text, url=url, checksum=digest, algorithm=algorithm)


def _checksum(text: str) -> tuple[str, str]:
    """Algorithm and digest. Raises PreflightError."""
    if not text:
        return "", ""
    found = _CHECKSUM.fullmatch(text.lower())
    if found is None or len(found[2]) != _LENGTHS[found[1]]:
        raise PreflightError(
            f"{text!r} is not a checksum", resolution="write it as sha256: or sha512: with its digits, nothing else"
        )
    return found[1], found[2]


def _published(url: str, name: str, algorithm: str, downloader: Downloader) -> str:
    """The checksum of a file in a publisher's list. Raises ArtifactError."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "sums"
        downloader.fetch(url, path, what=f"the checksum of {name}", most_bytes=MOST_LIST_BYTES)
        lines = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    for line in lines:
        if len(line) == 2 and line[1].removeprefix("*") == name and len(line[0]) == _LENGTHS[algorithm]:
            return line[0].lower()
    raise ArtifactError(
        f"the publisher's list has no checksum of {name}",
        details=url,
        resolution="pass it with --checksum, or use another image",
    )
